/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden bytes of messages that no broker answers with, written by Kafka's own
 * classes; and every captured request read and written by them again, which
 * must give the same bytes.  Run by capture:  java -cp LIBS Stored.java GOLDEN
 */
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ConsumerGroupDescribeResponseData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatResponseData;
import org.apache.kafka.common.message.ConsumerProtocolAssignment;
import org.apache.kafka.common.message.ConsumerProtocolSubscription;
import org.apache.kafka.common.message.DefaultPrincipalData;
import org.apache.kafka.common.message.EnvelopeResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.coordinator.group.generated.GroupMetadataKey;
import org.apache.kafka.coordinator.group.generated.GroupMetadataValue;
import org.apache.kafka.coordinator.group.generated.OffsetCommitKey;
import org.apache.kafka.coordinator.group.generated.OffsetCommitValue;
import org.apache.kafka.coordinator.transaction.generated.TransactionLogKey;
import org.apache.kafka.coordinator.transaction.generated.TransactionLogValue;

public class Stored {
	private static Path folder;

	/* One version of a message: the values that it can carry. */
	private interface Maker {
		Message make(short version);
	}

	private static String hex(ByteBuffer bytes) {
		byte[] copy = new byte[bytes.remaining()];

		bytes.duplicate().get(copy);
		return (HexFormat.of().formatHex(copy));
	}

	private static void put(String name, List<String> lines)
	    throws IOException {
		lines.add(0, "# " + name + ": as Apache Kafka 3.9 writes it");
		Files.write(folder.resolve("data-" + name + ".txt"), lines);
	}

	private static void data(String name, int low, int high, Maker maker)
	    throws IOException {
		List<String> lines = new ArrayList<>();

		for (short v = (short)low; v <= high; v++) {
			Message message = maker.make(v);
			lines.add("data " + v + " " +
			    hex(MessageUtil.toByteBuffer(message, v)));
		}
		put(name, lines);
	}

	private static void raw(String name, ByteBuffer... values)
	    throws IOException {
		List<String> lines = new ArrayList<>();

		for (ByteBuffer value : values)
			lines.add("data 0 " + hex(value));
		put(name, lines);
	}

	private static ByteBuffer bytes(String text) {
		return (ByteBuffer.wrap(text.getBytes()));
	}

	/* --- the consumer protocol ---------------------------------------- */

	private static Message subscription(short v) {
		ConsumerProtocolSubscription s =
		    new ConsumerProtocolSubscription()
			.setTopics(List.of("orders", "returns"))
			.setUserData(v == 2 ? null : bytes("user"));

		if (v >= 1)
			s.ownedPartitions().add(new ConsumerProtocolSubscription
			    .TopicPartition().setTopic("orders")
			    .setPartitions(List.of(0, 3)));
		if (v >= 2)
			s.setGenerationId(17);
		if (v >= 3)
			s.setRackId("shelf");
		return (s);
	}

	private static Message assignment(short v) {
		ConsumerProtocolAssignment a = new ConsumerProtocolAssignment()
		    .setUserData(v == 0 ? bytes("user") : null);

		a.assignedPartitions().add(new ConsumerProtocolAssignment
		    .TopicPartition().setTopic("orders")
		    .setPartitions(List.of(1, 2)));
		return (a);
	}

	/* --- internal topics ---------------------------------------------- */

	private static Message offset(short v) {
		OffsetCommitValue value = new OffsetCommitValue()
		    .setOffset(123456789012L).setMetadata("note")
		    .setCommitTimestamp(1700000000000L);

		if (v == 1)
			value.setExpireTimestamp(1700000060000L);
		if (v >= 3)
			value.setLeaderEpoch(9);
		return (value);
	}

	private static Message group(short v) {
		GroupMetadataValue.MemberMetadata member =
		    new GroupMetadataValue.MemberMetadata()
			.setMemberId("member-1").setClientId("client")
			.setClientHost("/127.0.0.1").setSessionTimeout(45000)
			.setSubscription("sub".getBytes())
			.setAssignment("ass".getBytes());
		GroupMetadataValue value = new GroupMetadataValue()
		    .setProtocolType("consumer").setGeneration(4)
		    .setProtocol(v == 3 ? null : "range")
		    .setLeader(v == 3 ? null : "member-1")
		    .setMembers(List.of(member));

		if (v >= 1)
			member.setRebalanceTimeout(300000);
		if (v >= 2)
			value.setCurrentStateTimestamp(1700000000000L);
		if (v >= 3)
			member.setGroupInstanceId(v == 3 ? "chair" : null);
		return (value);
	}

	private static Message transaction(short v) {
		return (new TransactionLogValue().setProducerId(4000)
		    .setProducerEpoch((short)6).setTransactionTimeoutMs(60000)
		    .setTransactionStatus((byte)1)
		    .setTransactionPartitions(v == 1 ? null : List.of(
			new TransactionLogValue.PartitionsSchema()
			    .setTopic("orders").setPartitionIds(List.of(0, 2))))
		    .setTransactionLastUpdateTimestampMs(1700000000001L)
		    .setTransactionStartTimestampMs(1700000000000L));
	}

	private static void stored() throws IOException {
		data("ConsumerProtocolSubscription", 0, 3,
		    Stored::subscription);
		data("ConsumerProtocolAssignment", 0, 3, Stored::assignment);
		data("OffsetCommitKey", 0, 1, v -> new OffsetCommitKey()
		    .setGroup("readers").setTopic("orders").setPartition(3));
		data("OffsetCommitValue", 0, 4, Stored::offset);
		data("GroupMetadataKey", 2, 2,
		    v -> new GroupMetadataKey().setGroup("readers"));
		data("GroupMetadataValue", 0, 4, Stored::group);
		data("TransactionLogKey", 0, 0,
		    v -> new TransactionLogKey()
			.setTransactionalId("transfer"));
		data("TransactionLogValue", 0, 1, Stored::transaction);
		data("DefaultPrincipalData", 0, 0,
		    v -> new DefaultPrincipalData().setType("User")
			.setName("alice").setTokenAuthenticated(true));
		raw("ControlRecordKey", control(ControlRecordType.ABORT),
		    control(ControlRecordType.COMMIT));
		raw("EndTxnMarkerValue", new EndTransactionMarker(
		    ControlRecordType.COMMIT, 12).serializeValue());
		raw("RecordKeyPrefix", MessageUtil.toVersionPrefixedByteBuffer(
		    (short)2, new GroupMetadataKey().setGroup("")).limit(2));
	}

	private static ByteBuffer control(ControlRecordType type) {
		ByteBuffer key = ByteBuffer.allocate(4);

		type.recordKey().writeTo(key);
		return (key.flip());
	}

	/* --- headers, and answers that such a broker never gives ---------- */

	private static void headers() throws IOException {
		data("RequestHeader", 0, 2, v -> {
			RequestHeaderData h = new RequestHeaderData()
			    .setRequestApiKey((short)3)
			    .setRequestApiVersion((short)9)
			    .setCorrelationId(77);
			return (v == 0 ? h :
			    h.setClientId(v == 1 ? null : "me"));
		});
		data("ResponseHeader", 0, 1,
		    v -> new ResponseHeaderData().setCorrelationId(77));
		data("EnvelopeResponse", 0, 0, v -> new EnvelopeResponseData()
		    .setResponseData(bytes("inner")).setErrorCode((short)0));
		data("ConsumerGroupHeartbeatResponse", 0, 0,
		    v -> new ConsumerGroupHeartbeatResponseData()
			.setMemberId("m").setMemberEpoch(3)
			.setHeartbeatIntervalMs(5000).setAssignment(
			new ConsumerGroupHeartbeatResponseData.Assignment()
			    .setTopicPartitions(List.of(
			    new ConsumerGroupHeartbeatResponseData
				.TopicPartitions().setTopicId(new Uuid(5, 6))
				.setPartitions(List.of(0, 1))))));
		data("ConsumerGroupDescribeResponse", 0, 0,
		    v -> new ConsumerGroupDescribeResponseData().setGroups(
			List.of(new ConsumerGroupDescribeResponseData
			    .DescribedGroup().setGroupId("modern")
			    .setGroupState("Stable").setGroupEpoch(2)
			    .setAssignmentEpoch(2)
			    .setAssignorName("uniform"))));
	}

	/* --- requests, again ---------------------------------------------- */

	/* Null, or what is wrong with the request. */
	private static String again(byte[] frame) {
		ByteBuffer in = ByteBuffer.wrap(frame);
		short key = in.getShort(0), version = in.getShort(2);
		ApiMessageType type = ApiMessageType.fromApiKey(key);
		short head = type.requestHeaderVersion(version);
		ByteBufferAccessor reader = new ByteBufferAccessor(in);
		RequestHeaderData header = new RequestHeaderData(reader, head);
		ApiMessage message = type.newRequest();
		ByteBuffer out = ByteBuffer.allocate(frame.length + 64);
		ByteBufferAccessor writer = new ByteBufferAccessor(out);

		message.read(reader, version);
		if (in.hasRemaining())
			return ("bytes are left over");
		for (Message m : new Message[] { header, message }) {
			ObjectSerializationCache cache =
			    new ObjectSerializationCache();
			short v = m == header ? head : version;
			m.size(cache, v);
			m.write(writer, cache, v);
		}
		out.flip();
		return (out.equals(ByteBuffer.wrap(frame)) ? null
			: "Kafka writes " + hex(out));
	}

	private static int requests() throws IOException {
		int count = 0;

		try (DirectoryStream<Path> files =
		    Files.newDirectoryStream(folder, "[0-9]*.txt")) {
			for (Path file : files)
				for (String line : Files.readAllLines(file)) {
					String[] words = line.split(" ");
					if (!words[0].equals("request"))
						continue;
					String wrong = again(HexFormat.of()
					    .parseHex(words[2]));
					if (wrong != null)
						throw new IOException(file +
						    " " + words[1] + ": " +
						    wrong);
					count++;
				}
		}
		return (count);
	}

	public static void main(String[] arguments) throws IOException {
		folder = Path.of(arguments[0]);
		stored();
		headers();
		System.out.println(requests() + " requests are as Kafka's");
	}
}
