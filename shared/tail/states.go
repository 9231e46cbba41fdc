// SPDX-License-Identifier: Apache-2.0

package tail

// State is where a generation is in its life. The table of states and events is in the package's comment, and in
// transitions.
type State uint8

// The states of a generation.
const (
	Stored     State = iota // known from the store only: its file was not met since the start, or since its origin ended
	Active                  // a selection chooses its name
	Rotated                 // it exists, but no selection chooses its name
	Held                    // it is read to its end and then left: only our handle keeps it, or its origin has ended
	Searching               // its bytes left the inode before they were read; a copy of them is searched for
	Remembered              // nothing is owed of it; its fingerprint is kept, so that its copy is not read
	Forgotten               // nothing of it is known any more
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
	Unlinked                // its last name is gone, its handle is open
	Vanished                // its bytes are no longer in its inode, and something of them is owed
	Left                    // its bytes are no longer in its inode, and nothing of them is owed
	Copied                  // a file was found that holds its bytes
	GivenUp                 // what is owed of it can't be read any more: a gap
	Ended                   // its origin has ended
	Returned                // its origin is back
	Parked                  // nobody reads it any more, its positions are kept
	Expired                 // it was remembered, or stored, for long enough
)

func (e Event) String() string {
	return [...]string{"Selected", "Unselected", "Unlinked", "Vanished", "Left", "Copied", "GivenUp", "Ended",
		"Returned", "Parked", "Expired"}[e]
}

// transitions says which state follows. An event that is not listed for a state leaves it as it is.
var transitions = map[State]map[Event]State{
	Stored:     {Selected: Active, Copied: Rotated, Expired: Forgotten},
	Active:     {Unselected: Rotated, Vanished: Searching, Left: Remembered, GivenUp: Remembered, Ended: Held, Parked: Stored},
	Rotated:    {Selected: Active, Unlinked: Held, Vanished: Searching, Left: Remembered, GivenUp: Remembered, Ended: Held, Parked: Stored},
	Held:       {Selected: Active, Vanished: Searching, Left: Remembered, GivenUp: Remembered, Returned: Rotated, Parked: Stored},
	Searching:  {Copied: Rotated, GivenUp: Remembered},
	Remembered: {Copied: Rotated, Expired: Forgotten},
}

// next returns the state that follows s after e, and whether that is another one.
func next(s State, e Event) (State, bool) {
	n, ok := transitions[s][e]
	return n, ok
}
