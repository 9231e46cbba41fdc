// SPDX-License-Identifier: Apache-2.0

package tail

// State is the state of a generation. The package's comment and transitions hold the table of states and events.
type State uint8

// The states of a generation.
const (
	Stored     State = iota // known only from the store: its file was not met since the start, or since its origin ended
	Active                  // a selection chooses its name
	Rotated                 // it exists, but no selection chooses its name
	Held                    // it is read to its end and then left: only the tailer's handle keeps it, or its origin has ended
	Searching               // its bytes left the inode before they were read; a copy of them is searched for
	Remembered              // nothing of it is owed; its fingerprint is kept, so that a copy is not read
	Forgotten               // nothing is known about it
)

func (s State) String() string {
	return [...]string{"Stored", "Active", "Rotated", "Held", "Searching", "Remembered", "Forgotten"}[s]
}

// Event is what happens to a generation.
type Event uint8

// The events of a generation.
const (
	Selected   Event = iota // a selection chooses its name
	Unselected              // no selection chooses its name any more
	Unlinked                // its last name is gone, and its handle is open
	Vanished                // its bytes are no longer in its inode, and some of them are owed
	Left                    // its bytes are no longer in its inode, and none of them are owed
	Copied                  // a file was found that holds its bytes
	GivenUp                 // what is owed of it can no longer be read: a gap
	Ended                   // its origin has ended
	Returned                // its origin is back
	Parked                  // it has no readers any more, and its positions are kept
	Expired                 // it was remembered, or stored, for long enough
)

func (e Event) String() string {
	return [...]string{"Selected", "Unselected", "Unlinked", "Vanished", "Left", "Copied", "GivenUp", "Ended",
		"Returned", "Parked", "Expired"}[e]
}

// transitions holds the state that follows each event. An event that is not listed for a state leaves it unchanged.
var transitions = map[State]map[Event]State{
	Stored:     {Selected: Active, Copied: Rotated, Expired: Forgotten},
	Active:     {Unselected: Rotated, Vanished: Searching, Left: Remembered, GivenUp: Remembered, Ended: Held, Parked: Stored},
	Rotated:    {Selected: Active, Unlinked: Held, Vanished: Searching, Left: Remembered, GivenUp: Remembered, Ended: Held, Parked: Stored},
	Held:       {Selected: Active, Vanished: Searching, Left: Remembered, GivenUp: Remembered, Returned: Rotated, Parked: Stored},
	Searching:  {Copied: Rotated, GivenUp: Remembered},
	Remembered: {Copied: Rotated, Expired: Forgotten},
}

// next returns the state that follows s after e. It reports false if e leaves s unchanged.
func next(s State, e Event) (State, bool) {
	n, ok := transitions[s][e]
	return n, ok
}
