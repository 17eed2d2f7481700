// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"barnabas/tests/clients/seen"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Until the program is to end.
var life, end = context.WithCancel(context.Background())

// A member by kgo's own balancer, cooperative and sticky. What was polled is
// told and marked before another rebalance may begin.
func member() {
	address, topic, group := os.Args[2], os.Args[3], os.Args[4]
	go func() {
		<-seen.Ends()
		end()
	}()
	taken := func(ctx context.Context, client *kgo.Client, lost map[string][]int32) {
		wrong(client.CommitMarkedOffsets(ctx))
		seen.Partitions("R", lost[topic])
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(address, ",")...),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(seen.Session), kgo.HeartbeatInterval(seen.Heartbeat),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(seen.CommitInterval),
		kgo.AutoCommitCallback(committed),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
			seen.Partitions("A", got[topic])
		}),
		kgo.OnPartitionsRevoked(taken),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			seen.Partitions("R", lost[topic])
		}))
	seen.Fatal(err)
	for life.Err() == nil {
		fetches := client.PollFetches(life)
		fetches.EachError(func(_ string, _ int32, err error) { wrong(err) })
		fetches.EachRecord(func(r *kgo.Record) {
			seen.Say("r", r.Partition, r.Offset)
			client.MarkCommitRecords(r)
		})
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
}

// What the program gave up itself, as it ends, is not wrong; nor what else it
// would have tried again.
func wrong(err error) {
	if err == nil || errors.Is(err, context.Canceled) ||
		life.Err() != nil && kerr.IsRetriable(err) {
		return
	}
	seen.Say("E", err)
}

func committed(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
	wrong(err)
	if answer == nil {
		return
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			wrong(kerr.ErrorForCode(p.ErrorCode))
		}
	}
}
