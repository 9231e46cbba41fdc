// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long Open waits for another process to release the file: long enough for a predecessor that is about to
// exit, short enough not to delay the start.
const lockWait = 2 * time.Second

// version is the first byte of each value. A store with another version was written by a newer Remora.
const version = 1

// Losses are in a separate bucket, under the same keys, and only if there are any, so that a Remora that does not know the
// bucket can read the rest.
var bucket, lossesBucket = []byte("checkpoints"), []byte("troubles")

// Store is the file that holds the checkpoints. It is safe for concurrent use.
type Store struct {
	db   *bbolt.DB
	path string
	// Moved is the path to which Open moved an unusable file, and Why what was wrong with it; empty and nil if there was
	// none.
	Moved string
	Why   error
	// Unslotted is why acknowledgements between two commits can't be recorded; nil if they can. Without slots, up to a second
	// of records is delivered again after a kill.
	Unslotted error

	slots *slots

	earlyMu sync.Mutex
	early   map[[hashSize]byte]Position // of a killed process's slots whose keys were never committed
}

// Open opens the store at path, and creates it if there is none. A file that can't be read as a store, because it is damaged,
// empty, or was written by a newer Remora, is renamed to NAME.bad, and a new one is created: every stream is then delivered
// again from its oldest byte. An error means that there is no store: the directory is missing or can't be written, or another
// process uses the file.
func Open(path string) (*Store, error) {
	s, err := openOrReplace(path)
	if err != nil {
		return nil, err
	}
	if s.Moved != "" {
		_ = os.Remove(path + ".slots") // they belong to the file that was moved
	}
	s.Unslotted = s.recoverSlots()
	return s, nil
}

func openOrReplace(path string) (*Store, error) {
	db, err := open(path)
	if err == nil {
		return &Store{db: db, path: path}, nil
	}
	var pathErr *fs.PathError
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("checkpoint %s: another process uses it", path)
	}
	if errors.As(err, &pathErr) {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	bad := path + ".bad"
	if mvErr := os.Rename(path, bad); mvErr != nil {
		return nil, fmt.Errorf("checkpoint %s: %w, and it can't be put aside: %w", path, err, mvErr)
	}
	why := err
	if db, err = open(path); err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return &Store{db: db, path: path, Moved: bad, Why: why}, nil
}

// create creates an empty store under another name and renames it to path, so that the file at path is complete from the
// start: an empty file is damage.
func create(path string) error {
	db, err := bbolt.Open(path+".new", 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// open opens the file and reads all of it once. bbolt trusts the other pages of a file whose first two are valid. If they are
// not, it panics or reads memory beyond the end of the file; open detects that while it can still be handled.
func open(path string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged: %v", r)
		}
		if err != nil && db != nil {
			_ = closeDamaged(db)
			db = nil
		}
	}()
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(path); err != nil {
			return nil, err
		}
	case err == nil && info.Size() == 0:
		return nil, errors.New("damaged: the file is empty")
	}
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	empty := false
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if empty = b == nil; !empty {
			if err := walk(b, known); err != nil {
				return err
			}
		}
		if b := tx.Bucket(lossesBucket); b != nil {
			if err := walk(b, func([]byte) error { return nil }); err != nil {
				return err
			}
		}
		var damage error
		for err := range tx.Check() { // to its end, because it reads the file in another goroutine
			if damage == nil {
				damage = fmt.Errorf("damaged: %w", err)
			}
		}
		return damage
	})
	if err == nil && empty {
		err = db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket(bucket)
			return err
		})
	}
	return db, err
}

// walk looks up every key and reads its value to the end. bbolt's own check does not read values, and it runs in another
// goroutine, where a wrong length that leads beyond the end of the file ends the process.
func walk(b *bbolt.Bucket, check func(value []byte) error) error {
	return b.ForEach(func(k, v []byte) error {
		if _, ok := parseKey(k); !ok || len(v) == 0 || !bytes.Equal(b.Get(k), bytes.Clone(v)) { // Clone reads the value
			return errors.New("damaged: a value is no checkpoint")
		}
		return check(v)
	})
}

// known reports an error for a checkpoint that this version does not understand.
func known(v []byte) error {
	if v[0] != version {
		return fmt.Errorf("written by a newer Remora (version %d of a checkpoint; this one knows %d)", v[0], version)
	}
	return nil
}

// closeDamaged closes the file and releases its lock. bbolt waits for transactions that a panic left open, so its Close may
// not return; the handle then stays open until the process ends.
func closeDamaged(db *bbolt.DB) error {
	done := make(chan error, 1)
	go func() { done <- db.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return errors.New("damaged store is still open")
	}
}

// Dir returns the directory that the store's file is in.
func (s *Store) Dir() string { return filepath.Dir(s.path) }

// Load returns the entry at key, and whether there is one.
func (s *Store) Load(key Key) (e Entry, ok bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		e, ok = read(tx, key.bytes(), tx.Bucket(bucket).Get(key.bytes()))
		return nil
	})
	if err != nil {
		return e, ok, fmt.Errorf("checkpoint %s: %w", s.path, err)
	}
	if pos, found := s.earlier(key); found && !ok {
		e.Position, ok = pos, true
	}
	return e, ok, nil
}

// Each calls f for each entry, in the order of the streams' keys.
func (s *Store) Each(f func(Key, Entry)) error {
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			key, isKey := parseKey(k)
			if e, ok := read(tx, k, v); ok && isKey {
				f(key, e)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", s.path, err)
	}
	return nil
}

// Commit stores entries and then deletes keys in one transaction, and returns when it is on disk. An entry without losses
// leaves the stored losses of its key unchanged.
func (s *Store) Commit(put map[Key]Entry, forget []Key) (err error) {
	if len(put) == 0 && len(forget) == 0 {
		return nil
	}
	defer func() { // bbolt rolls back, and panics if its list of free pages is damaged
		if r := recover(); r != nil {
			err = fmt.Errorf("checkpoint %s: damaged: %v", s.path, r)
		}
	}()
	err = s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		bad, err := tx.CreateBucketIfNotExists(lossesBucket)
		if err != nil {
			return err
		}
		for k, e := range put {
			if err := e.write(b, bad, k.bytes()); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		for _, k := range forget {
			if err := errors.Join(b.Delete(k.bytes()), bad.Delete(k.bytes())); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", s.path, err)
	}
	s.settleEarly(put, forget)
	return nil
}

// write stores e under key.
func (e *Entry) write(b, bad *bbolt.Bucket, key []byte) error {
	if err := b.Put(key, e.bytes()); err != nil || e.Losses == (Losses{}) {
		return err
	}
	text, err := json.Marshal(e.Losses)
	if err != nil {
		return err
	}
	return bad.Put(key, text)
}

// read decodes the entry at key. Losses that can't be decoded are ignored.
func read(tx *bbolt.Tx, key, value []byte) (Entry, bool) {
	e, ok := decode(value)
	if bad := tx.Bucket(lossesBucket); bad != nil && ok {
		if text := bad.Get(key); text != nil && json.Unmarshal(text, &e.Losses) != nil {
			e.Losses = Losses{}
		}
	}
	return e, ok
}

// Close waits for a commit under way and closes the files.
func (s *Store) Close() error {
	if s.slots != nil {
		return errors.Join(s.slots.close(), s.db.Close())
	}
	return s.db.Close()
}

// String returns the key as it is shown in messages.
func (k Key) String() string { return k.Stream + "/" + k.Declaration + "/" + k.Output }

func (k Key) bytes() []byte {
	return []byte(k.Stream + "\x00" + k.Declaration + "\x00" + k.Output)
}

func parseKey(b []byte) (Key, bool) {
	p := bytes.Split(b, []byte{0})
	if len(p) != 3 {
		return Key{}, false
	}
	return Key{string(p[0]), string(p[1]), string(p[2])}, true
}

func (e Entry) bytes() []byte {
	b := make([]byte, 0, 1+2*binary.MaxVarintLen64+len(e.Mark))
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(e.Low))
	b = binary.AppendUvarint(b, uint64(e.Done))
	return append(b, e.Mark...)
}

// decode decodes an entry. It copies what it keeps, because v is valid only during the transaction.
func decode(v []byte) (Entry, bool) {
	if len(v) == 0 || v[0] != version {
		return Entry{}, false
	}
	low, n := binary.Uvarint(v[1:])
	if n <= 0 {
		return Entry{}, false
	}
	done, m := binary.Uvarint(v[1+n:])
	if m <= 0 || int64(low) < 0 || int64(done) < int64(low) {
		return Entry{}, false
	}
	return Entry{Position: Position{int64(low), int64(done)}, Mark: bytes.Clone(v[1+n+m:])}, true
}
