// SPDX-License-Identifier: Apache-2.0

// sarama: ClusterAdmin, an idempotent SyncProducer, PartitionConsumers.
package main

import (
	"crypto/tls"
	"fmt"
	"sort"
	"strconv"
	"time"

	"barnabas/tests/clients/seen"

	"github.com/IBM/sarama"
)

const partitions = 3

func text(s string) *string { return &s }

func settings(tls *tls.Config) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_9_0_0
	config.Net.TLS.Enable = tls != nil
	config.Net.TLS.Config = tls
	config.Net.MaxOpenRequests = 1
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Consumer.Return.Errors = true
	return config
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4,
	"zstd": sarama.CompressionZSTD,
}

func send(address, topic, codec string, config *sarama.Config, s seen.Seen) []string {
	config.Producer.Compression = codecs[codec]
	producer, err := sarama.NewSyncProducer([]string{address}, config)
	seen.Fatal(err)
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	var lines []string
	for i := range seen.Records {
		key := seen.Key(i)
		if key == nil {
			key = []byte("none-" + strconv.Itoa(i))
		}
		m := &sarama.ProducerMessage{
			Topic: topic, Key: sarama.ByteEncoder(key), Timestamp: time.UnixMilli(seen.Base + int64(i)),
			Headers: []sarama.RecordHeader{{Key: []byte("codec"), Value: []byte(codec)}},
		}
		if value := seen.Value(codec, i); value != nil {
			m.Value = sarama.ByteEncoder(value)
		}
		messages = append(messages, m)
	}
	s.Err("send "+codec, producer.SendMessages(messages))
	for i, m := range messages {
		key, _ := m.Key.Encode()
		lines = append(lines, seen.Line(m.Partition, key, seen.Value(codec, i), codec,
			m.Timestamp.UnixMilli()))
	}
	return lines
}

func read(client sarama.Client, topic string) []string {
	consumer, err := sarama.NewConsumerFromClient(client)
	seen.Fatal(err)
	defer consumer.Close()
	var lines []string
	for p := range int32(partitions) {
		end, err := client.GetOffset(topic, p, sarama.OffsetNewest)
		seen.Fatal(err)
		if end == 0 {
			continue
		}
		one, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
		seen.Fatal(err)
		for next := int64(0); next < end; {
			select {
			case m := <-one.Messages():
				lines = append(lines, seen.Line(p, m.Key, m.Value, string(m.Headers[0].Value),
					m.Timestamp.UnixMilli()))
				next = m.Offset + 1
			case err := <-one.Errors():
				seen.Fatal(err)
			}
		}
		seen.Fatal(one.Close())
	}
	return lines
}

func configs(admin sarama.ClusterAdmin, kind sarama.ConfigResourceType, name string, only ...string) any {
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: kind, Name: name, ConfigNames: only})
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, e := range entries {
		var same []string
		for _, synonym := range e.Synonyms {
			same = append(same, fmt.Sprint(*synonym))
		}
		out = append(out, fmt.Sprint(e.Name, "=", e.Value, e.ReadOnly, e.Default, e.Source, e.Sensitive, same))
	}
	sort.Strings(out)
	return out
}

func administer(admin sarama.ClusterAdmin, topic string, s seen.Seen) {
	keys := []string{"retention.ms", "segment.bytes", "max.message.bytes"}
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"retention.ms": text("-1")}}
	s.Err("validate", admin.CreateTopic(topic, detail, true))
	s.Err("create", admin.CreateTopic(topic, detail, false))
	s.Err("create again", admin.CreateTopic(topic, detail, false))
	s.Err("create a bad name", admin.CreateTopic("a/b", detail, false))
	s.Err("create with a bad config", admin.CreateTopic(topic+"-x", &sarama.TopicDetail{
		NumPartitions: 1, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"none.such": text("1")}}, false))
	s["configs"] = configs(admin, sarama.TopicResource, topic, keys...)
	s.Err("alter", admin.IncrementalAlterConfig(sarama.TopicResource, topic,
		map[string]sarama.IncrementalAlterConfigsEntry{
			"segment.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: text("1048576")},
			"retention.ms":  {Operation: sarama.IncrementalAlterConfigsOperationDelete}}, false))
	s["configs altered"] = configs(admin, sarama.TopicResource, topic, keys...)
	s.Err("alter as a whole", admin.AlterConfig(sarama.TopicResource, topic,
		map[string]*string{"max.message.bytes": text("900000"), "retention.ms": text("-1")}, false))
	s["configs altered as a whole"] = configs(admin, sarama.TopicResource, topic, keys...)
	brokers, _, err := admin.DescribeCluster()
	s.Err("cluster", err)
	s["brokers"] = len(brokers)
	s["configs of the broker"] = configs(admin, sarama.BrokerResource,
		strconv.Itoa(int(brokers[0].ID())), "log.retention.hours", "message.max.bytes")
}

func administerMore(admin sarama.ClusterAdmin, client sarama.Client, topic string, s seen.Seen) {
	var ends, times, starts []int64
	for p := range int32(partitions) {
		end, err := client.GetOffset(topic, p, sarama.OffsetNewest)
		seen.Fatal(err)
		time, err := client.GetOffset(topic, p, seen.Base+100)
		seen.Fatal(err)
		ends, times = append(ends, end), append(times, time)
	}
	s.Err("delete records", admin.DeleteRecords(topic, map[int32]int64{0: 10}))
	for p := range int32(partitions) {
		start, err := client.GetOffset(topic, p, sarama.OffsetOldest)
		seen.Fatal(err)
		starts = append(starts, start)
	}
	s["end offsets"], s["offsets by time"], s["start offsets"] = ends, times, starts
	s.Err("more partitions", admin.CreatePartitions(topic, partitions+2, nil, false))
	s.Err("fewer partitions", admin.CreatePartitions(topic, 1, nil, false))
	elected, err := admin.ElectLeaders(sarama.PreferredElection, map[string][]int32{topic: {0}})
	s.Err("elect", err)
	if err == nil {
		s["elected"] = fmt.Sprint(elected[topic][0].ErrorCode)
	}
	topics, err := admin.ListTopics()
	s.Err("list", err)
	s["listed"] = fmt.Sprint(topics[topic].NumPartitions, topics[topic].ReplicationFactor)
	s.Err("delete", admin.DeleteTopic(topic))
	s.Err("delete again", admin.DeleteTopic(topic+"-none"))
}

func main() {
	if seen.IsMember() {
		member()
		return
	}
	address, topic, tls := seen.Arguments()
	config := settings(tls)
	client, err := sarama.NewClient([]string{address}, config)
	seen.Fatal(err)
	admin, err := sarama.NewClusterAdminFromClient(client)
	seen.Fatal(err)
	defer admin.Close()
	s := seen.Seen{}
	administer(admin, topic, s)
	var sent []string
	for _, codec := range seen.Codecs {
		sent = append(sent, send(address, topic, codec, config, s)...)
	}
	got := read(client, topic)
	s["records"] = []any{len(got), seen.Digest(got), seen.Digest(got) == seen.Digest(sent)}
	administerMore(admin, client, topic, s)
	s.Print()
}
