// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"barnabas/tests/clients/seen"

	"github.com/twmb/franz-go/pkg/kgo"
)

const interval = 3 * time.Millisecond

func isProducer() bool {
	return len(os.Args) == 4 && os.Args[1] == "produce"
}

// produce ADDRESS TOPIC: an idempotent producer, which waits for all replicas
// and tries for ever, as kgo does by itself.  It sends numbers until SIGTERM;
// what it prints is in test_rolling_clients.py.
func produce() {
	address, topic := os.Args[2], os.Args[3]
	ctx := context.Background()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(address, ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		// else a sequence that is lost begins anew, and nobody is told
		kgo.StopProducerOnDataLossDetected())
	seen.Fatal(err)
	defer client.Close()
	ends, sent := seen.Ends(), 0
	for {
		select {
		case <-time.After(interval):
			client.Produce(ctx, kgo.StringRecord(strconv.Itoa(sent)), answered)
			sent++
		case <-ends:
			seen.Fatal(client.Flush(ctx))
			seen.Say("S", sent)
			return
		}
	}
}

func answered(r *kgo.Record, err error) {
	if err != nil {
		seen.Say("E", err)
		return
	}
	seen.Say("a", r.Partition, r.Offset, string(r.Value))
}
