// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"

	"barnabas/tests/clients/seen"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A member by kgo's own balancer, cooperative and sticky. What was polled is
// told and marked before another rebalance may begin.
func member() {
	address, topic, group := os.Args[2], os.Args[3], os.Args[4]
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-seen.Ends()
		cancel()
	}()
	taken := func(ctx context.Context, client *kgo.Client, lost map[string][]int32) {
		if err := client.CommitMarkedOffsets(ctx); err != nil {
			seen.Say("E", err)
		}
		seen.Partitions("R", lost[topic])
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(seen.Session), kgo.HeartbeatInterval(seen.Heartbeat),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(seen.CommitInterval),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
			seen.Partitions("A", got[topic])
		}),
		kgo.OnPartitionsRevoked(taken),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			seen.Partitions("R", lost[topic])
		}))
	seen.Fatal(err)
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(_ string, _ int32, err error) { seen.Say("E", err) })
		fetches.EachRecord(func(r *kgo.Record) {
			seen.Say("r", r.Partition, r.Offset)
			client.MarkCommitRecords(r)
		})
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}
