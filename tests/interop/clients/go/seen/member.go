// SPDX-License-Identifier: Apache-2.0

package seen

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Of every member of a group.
const (
	Session        = 6 * time.Second
	Heartbeat      = time.Second
	CommitInterval = 500 * time.Millisecond
)

var printing sync.Mutex

// IsMember tells whether the program is to be a member of a group:
// member ADDRESS TOPIC GROUP. What it prints is in members.py.
func IsMember() bool {
	return len(os.Args) == 5 && os.Args[1] == "member"
}

// Say prints one line at once.
func Say(letter string, words ...any) {
	printing.Lock()
	defer printing.Unlock()
	line := fmt.Sprintln(append([]any{letter, time.Now().UnixMilli()}, words...)...)
	os.Stdout.WriteString(line)
}

// Partitions says which are assigned (A) or taken away (R).
func Partitions(letter string, which []int32) {
	var text []string
	for _, p := range which {
		text = append(text, fmt.Sprint(p))
	}
	Say(letter, strings.Join(text, ","))
}

// Ends gives a channel that is told of SIGTERM.
func Ends() chan os.Signal {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	return ends
}
