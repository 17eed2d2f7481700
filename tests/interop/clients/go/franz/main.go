// SPDX-License-Identifier: Apache-2.0

// franz-go: kadm administers, kgo sends and reads by partition.
package main

import (
	"context"
	"fmt"
	"sort"
	"time"

	"barnabas/tests/clients/seen"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 3

func text(s string) *string { return &s }

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func send(ctx context.Context, options []kgo.Opt, topic, name string, s seen.Seen) []string {
	client, err := kgo.NewClient(append(options, kgo.ProducerBatchCompression(codec(name)),
		kgo.ProducerLinger(20*time.Millisecond))...)
	seen.Fatal(err)
	defer client.Close()
	var records []*kgo.Record
	for i := range seen.Records {
		records = append(records, &kgo.Record{
			Topic: topic, Key: seen.Key(i), Value: seen.Value(name, i),
			Headers:   []kgo.RecordHeader{{Key: "codec", Value: []byte(name)}, {Key: "nil"}},
			Timestamp: time.UnixMilli(seen.Base + int64(i)),
		})
	}
	// Those without a key would go where chance has it.
	for i, r := range records {
		if r.Key == nil {
			r.Key = []byte(fmt.Sprintf("none-%d", i))
		}
	}
	s.Err("send "+name, client.ProduceSync(ctx, records...).FirstErr())
	var lines []string
	for _, r := range records {
		lines = append(lines, line(r))
	}
	return lines
}

func line(r *kgo.Record) string {
	return seen.Line(r.Partition, r.Key, r.Value, fmt.Sprint(r.Headers), r.Timestamp.UnixMilli())
}

func read(ctx context.Context, options []kgo.Opt, topic string, count int) []string {
	from := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		from[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(append(options,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))...)
	seen.Fatal(err)
	defer client.Close()
	var lines []string
	for len(lines) < count {
		fetches := client.PollFetches(ctx)
		seen.Fatal(fetches.Err0())
		fetches.EachError(func(_ string, _ int32, err error) { seen.Fatal(err) })
		fetches.EachRecord(func(r *kgo.Record) { lines = append(lines, line(r)) })
	}
	return lines
}

func offsets(listed kadm.ListedOffsets, err error) any {
	if err != nil {
		return err.Error()
	}
	var out []string
	listed.Each(func(o kadm.ListedOffset) {
		out = append(out, fmt.Sprint(o.Partition, o.Offset, o.Timestamp, o.LeaderEpoch, o.Err))
	})
	sort.Strings(out)
	return out
}

func configs(found kadm.ResourceConfigs, err error, only ...string) any {
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, r := range found {
		for _, c := range r.Configs {
			for _, name := range only {
				if c.Key == name {
					told := fmt.Sprint(c.Key, "=", c.MaybeValue(), c.Source, c.Sensitive)
					for _, same := range c.Synonyms {
						told += fmt.Sprint(" ", same.Key, "=", *same.Value, same.Source)
					}
					out = append(out, told)
				}
			}
		}
		out = append(out, fmt.Sprint(len(r.Configs) > 20, r.Err))
	}
	sort.Strings(out)
	return out
}

func value(found kadm.ResourceConfigs, name string) string {
	for _, c := range found[0].Configs {
		if c.Key == name {
			return c.MaybeValue()
		}
	}
	return ""
}

func altered(answers kadm.AlterConfigsResponses, err error) any {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(answers[0].Err, answers[0].ErrMessage)
}

func administer(ctx context.Context, admin *kadm.Client, topic string, s seen.Seen) {
	keys := []string{"retention.ms", "segment.bytes", "max.message.bytes"}
	_, err := admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": text("-1")}, topic)
	s.Err("create", err)
	_, err = admin.CreateTopic(ctx, partitions, 1, nil, topic)
	s.Err("create again", err)
	_, err = admin.CreateTopic(ctx, partitions, 1, nil, "a/b")
	s.Err("create a bad name", err)
	_, err = admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": text("x")}, topic+"-x")
	s.Err("create with a bad config", err)
	_, err = admin.CreateTopic(ctx, partitions, 2, nil, topic+"-x")
	s.Err("create with too many replicas", err)
	found, err := admin.DescribeTopicConfigs(ctx, topic)
	s["configs"] = configs(found, err, keys...)
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "segment.bytes", Value: text("1048576")},
		{Op: kadm.DeleteConfig, Name: "retention.ms"}}, topic)
	s["alter"] = altered(answers, err)
	answers, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.AppendConfig, Name: "segment.bytes", Value: text("1")}}, topic)
	s["alter in a wrong way"] = altered(answers, err)
	found, err = admin.DescribeTopicConfigs(ctx, topic)
	s["configs altered"] = configs(found, err, keys...)
	answers, err = admin.AlterTopicConfigsState(ctx, []kadm.AlterConfig{
		{Name: "max.message.bytes", Value: text("900000")},
		{Name: "retention.ms", Value: text("-1")}}, topic)
	s["alter state"] = altered(answers, err)
	found, err = admin.DescribeTopicConfigs(ctx, topic)
	s["configs altered as a whole"] = configs(found, err, keys...)
	brokers, err := admin.BrokerMetadata(ctx)
	s.Err("metadata", err)
	id := brokers.Brokers[0].NodeID
	answers, err = admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "log.retention.ms", Value: text("7200000")}}, id)
	s["alter broker"] = altered(answers, err)
	// Kafka takes it over a moment later.
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		found, err = admin.DescribeBrokerConfigs(ctx, id)
		if err != nil || value(found, "log.retention.ms") == "7200000" {
			break
		}
	}
	s["configs of the broker"] = configs(found, err, "log.retention.ms", "message.max.bytes")
	answers, err = admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.DeleteConfig, Name: "log.retention.ms"}}, id)
	s["alter broker back"] = altered(answers, err)
}

func administerMore(ctx context.Context, admin *kadm.Client, topic string, s seen.Seen) {
	listed, err := admin.ListEndOffsets(ctx, topic)
	s["end offsets"] = offsets(listed, err)
	listed, err = admin.ListOffsetsAfterMilli(ctx, seen.Base+100, topic)
	s["offsets by time"] = offsets(listed, err)
	deleted, err := admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 10}}})
	s["delete records"] = fmt.Sprint(deleted[topic][0].LowWatermark, deleted[topic][0].Err, err)
	listed, err = admin.ListStartOffsets(ctx, topic)
	s["start offsets"] = offsets(listed, err)
	grown, err := admin.UpdatePartitions(ctx, partitions+2, topic)
	s["more partitions"] = fmt.Sprint(grown[topic].Err, err)
	grown, err = admin.UpdatePartitions(ctx, 1, topic)
	s["fewer partitions"] = fmt.Sprint(grown[topic].Err, err)
	of := kadm.TopicsSet{}
	of.Add(topic, 0, 1)
	elected, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, of)
	s["elect"] = fmt.Sprint(elected[topic][0].Err, elected[topic][1].Err, err)
	producers, err := admin.DescribeProducers(ctx, of)
	s["producers"] = fmt.Sprint(len(producers[topic].Partitions[0].ActiveProducers), err)
	dirs, err := admin.DescribeAllLogDirs(ctx, of)
	s["log dirs"] = fmt.Sprint(err, len(dirs))
	epochs := kadm.OffsetForLeaderEpochRequest{}
	epochs.Add(topic, 1, 0)
	ends, err := admin.OffetForLeaderEpoch(ctx, epochs)
	s["end of the epoch"] = fmt.Sprint(ends[topic][1].EndOffset, ends[topic][1].LeaderEpoch, err)
	gone, err := admin.DeleteTopics(ctx, topic, topic+"-none")
	s["delete"] = fmt.Sprint(gone[topic].Err, gone[topic+"-none"].Err, err)
}

func main() {
	if seen.IsMember() {
		member()
		return
	}
	if isProducer() {
		produce()
		return
	}
	address, topic, config := seen.Arguments()
	options := []kgo.Opt{kgo.SeedBrokers(address)}
	if config != nil {
		options = append(options, kgo.DialTLSConfig(config))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	client, err := kgo.NewClient(options...)
	seen.Fatal(err)
	admin := kadm.NewClient(client)
	defer admin.Close()
	s := seen.Seen{}
	administer(ctx, admin, topic, s)
	var sent []string
	for _, name := range seen.Codecs {
		sent = append(sent, send(ctx, options, topic, name, s)...)
	}
	got := read(ctx, options, topic, len(sent))
	s["records"] = []any{len(got), seen.Digest(got), seen.Digest(got) == seen.Digest(sent)}
	administerMore(ctx, admin, topic, s)
	s.Print()
}
