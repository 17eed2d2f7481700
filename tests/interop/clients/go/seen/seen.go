// SPDX-License-Identifier: Apache-2.0

// Package seen is what a client program tells of its run: one JSON object of
// step to outcome, in which nothing differs from one broker to another.
package seen

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
)

// Codecs that every program sends with.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Records are sent with each codec; Base is the first one's timestamp in ms.
const (
	Records = 300
	Base    = int64(1700000000000)
)

// Key and value of record i; every seventh has no key, every ninth no value.
func Key(i int) []byte {
	if i%7 == 0 {
		return nil
	}
	return []byte(fmt.Sprintf("key-%d", i%50))
}

func Value(codec string, i int) []byte {
	if i%9 == 0 {
		return nil
	}
	return []byte(codec + strings.Repeat(fmt.Sprintf(" value %d", i), i%20))
}

// Seen maps a step to its outcome.
type Seen map[string]any

// Err notes the outcome of a step that answers with an error only.
func (s Seen) Err(step string, err error) {
	if err == nil {
		s[step] = "ok"
	} else {
		s[step] = err.Error()
	}
}

// Line tells one record for Digest.
func Line(partition int32, key, value []byte, headers string, ms int64) string {
	tell := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprint(partition, tell(key), tell(value), headers, ms)
}

// Digest of records in any order.
func Digest(lines []string) string {
	sort.Strings(lines)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// Arguments: ADDRESS TOPIC [CA-FILE]; with the last over TLS.
func Arguments() (address, topic string, config *tls.Config) {
	if len(os.Args) < 3 {
		Fatal(errors.New("usage: ADDRESS TOPIC [CA-FILE]"))
	}
	if len(os.Args) > 3 {
		pem, err := os.ReadFile(os.Args[3])
		Fatal(err)
		config = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			Fatal(errors.New("no certificate in " + os.Args[3]))
		}
	}
	return os.Args[1], os.Args[2], config
}

// Fatal ends the program unless err is nil.
func Fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Print ends a program.
func (s Seen) Print() {
	text, err := json.MarshalIndent(s, "", "  ")
	Fatal(err)
	fmt.Println(string(text))
}
