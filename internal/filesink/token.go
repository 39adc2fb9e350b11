package filesink

import (
	"encoding/json"
	"fmt"
)

// tokenVersion changes with the meaning of a token's members.
const tokenVersion = 3

// token is what a Stage needs to publish an epoch, or to return to its end after a crash.
type token struct {
	Version int         `json:"v"`
	Open    *openToken  `json:"open,omitempty"`    // part that goes on after this epoch
	Publish []moveToken `json:"publish,omitempty"` // parts that become visible with it
	Kept    []keptToken `json:"kept,omitempty"`    // closed parts that wait for the merge
	Done    bool        `json:"done,omitempty"`    // the run ends here
	Folder  bool        `json:"folder,omitempty"`  // the target is one
	Note    []byte      `json:"note,omitempty"`    // Stage.Columns
}

type openToken struct {
	Fence  uint64 `json:"fence"` // of the owner that wrote it
	Number uint64 `json:"n"`     // epoch that began it
	Length int64  `json:"bytes"`
}

type moveToken struct {
	From   string `json:"from"` // names within the target's folder
	To     string `json:"to"`
	Length int64  `json:"bytes"`
}

// keptToken describes the kept parts of one owner: those begun in the epochs First to Through.
type keptToken struct {
	Fence   uint64 `json:"fence"`
	First   uint64 `json:"first"`
	Through uint64 `json:"through"`
	Count   int    `json:"count"`
	Length  int64  `json:"bytes"`
}

func (t token) encode() ([]byte, error) {
	t.Version = tokenVersion
	return json.Marshal(t)
}

func decodeToken(b []byte) (token, error) {
	var t token
	if err := json.Unmarshal(b, &t); err != nil {
		return token{}, fmt.Errorf("read file token: %w", err)
	}
	if t.Version != tokenVersion {
		return token{}, fmt.Errorf("read file token: version %d, this binary has %d",
			t.Version, tokenVersion)
	}
	return t, nil
}
