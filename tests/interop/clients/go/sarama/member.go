// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"

	"barnabas/tests/clients/seen"

	"github.com/IBM/sarama"
)

type handler struct {
	topic string
}

// Setup and Cleanup begin and end a generation.
func (h handler) Setup(session sarama.ConsumerGroupSession) error {
	seen.Partitions("A", session.Claims()[h.topic])
	return nil
}

func (h handler) Cleanup(session sarama.ConsumerGroupSession) error {
	seen.Partitions("R", session.Claims()[h.topic])
	return nil
}

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, more := <-claim.Messages():
			if !more {
				return nil
			}
			seen.Say("r", message.Partition, message.Offset)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

// A member of sarama's ConsumerGroup, whose partitions change all at once.
func member() {
	address, topic, group := os.Args[2], os.Args[3], os.Args[4]
	config := sarama.NewConfig()
	config.Version = sarama.V3_9_0_0
	config.Consumer.Group.Session.Timeout = seen.Session
	config.Consumer.Group.Heartbeat.Interval = seen.Heartbeat
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = seen.CommitInterval
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-seen.Ends()
		cancel()
	}()
	consumers, err := sarama.NewConsumerGroup([]string{address}, group, config)
	seen.Fatal(err)
	for ctx.Err() == nil {
		err := consumers.Consume(ctx, []string{topic}, handler{topic})
		if err != nil && !errors.Is(err, context.Canceled) {
			seen.Say("E", err)
		}
	}
	seen.Fatal(consumers.Close())
}
