# SPDX-License-Identifier: Apache-2.0
"""The same requests to the real Kafka 3.9 and to barnabasd, each alone in a
cluster of its own: their answers are the same, field by field.  The rows are in
answers_*.py; how answers are compared, and what is masked, in answers.py.

    pytest tests/interop/test_same_answers.py -k "CreateTopics"

With BARNABAS_AGAINST=kafka another real Kafka stands in our place, and what it
serves and we not yet is asked, too: a row that fails then is wrong itself."""

from concurrent import futures

import pytest

import answers
import answers_topics
import answers_records  # noqa: F401: rows, in this order
import answers_orders  # noqa: F401
import answers_groups  # noqa: F401
import answers_moves  # noqa: F401
import answers_edges
import harness
import real_kafka
import test_configs

OPTIONS = {
    "log_retention_ms": -1,
    # no chore between the same request to one and to the other
    "log_retention_check_interval_ms": 3600000,
    "log_initial_task_delay_ms": 3600000,
    "offsets_retention_check_interval_ms": 3600000,
    "offsets_topic_num_partitions": 1,
    "offsets_topic_replication_factor": 1,
    "group_initial_rebalance_delay_ms": 0,
    "transaction_state_log_num_partitions": 1,
    "max_incremental_fetch_session_cache_slots": 200,
    "num_partitions": 2,
    "zookeeper_session_timeout_ms": 30000,
    "connections_max_idle_ms": -1,
}

# The only differences that are accepted, by a row's name.  Each is asked, and
# must be there still.  doc/differences.md has these and all others, with why.
ACCEPTED = {
    "CreateTopics: config: two wrong": "the first of the request is told",
    "CreateTopics: config, validated: two wrong": "as above",
    # our words, or code, for what no client sends
    "CreateTopics: name: zero byte": "other words",
    "Produce: batch: record's length of six bytes":
        "INVALID_RECORD, not UNKNOWN_SERVER_ERROR",
    "Produce: set: no value": "CORRUPT_MESSAGE, not UNKNOWN_SERVER_ERROR",
}
# Likewise, but not asked: the two brokers would go on from different states.
LEFT_OUT = {
    "CreateTopics: assigned: negative partition":
        "refused; Kafka trips over it, or makes a partition -1",
    "Produce: several: a topic twice": "both are appended and answered; Kafka "
        "appends the last one only, and tells nobody",
    "Produce: several: a topic's partition twice": "as above",
    "Produce: several: a partition twice": "as above",
    "OffsetFetch: groups: of no group": "Kafka gives no answer",
}


def prepare(broker):
    broker.start()
    side = answers.Side(broker)
    answers_topics.prepare(side)
    return side


@pytest.fixture(scope="module")
def sides(new_factory):
    """(the real one, ours), side by side."""
    factory = new_factory("same-answers")
    theirs = factory(0, kind=real_kafka.RealKafka, **OPTIONS)
    ours = factory(0, kind=real_kafka.RealKafka if answers.AGAINST_KAFKA
                   else harness.Broker, **OPTIONS)
    theirs.options["zookeeper.connect"] += "-real"
    try:
        with futures.ThreadPoolExecutor(2) as pool:
            yield tuple(pool.map(prepare, (theirs, ours)))
    finally:
        factory.end()


def test_every_api_has_rows():
    assert set(answers.SERVED) <= set(answers_edges.WHOLE)


def test_every_difference_has_its_row():
    assert {*ACCEPTED, *LEFT_OUT} <= set(answers.ROWS)


def test_every_difference_is_told():
    """In doc/differences.md, by the tables' own words."""
    text = " ".join((harness.TOP / "doc/differences.md").read_text().split())
    rows = [f"`{row}`" for row in (*ACCEPTED, *LEFT_OUT)]
    words = [*answers.DROPPED, *answers.MASKED, *answers_edges.OTHER_WORDS,
             *answers_edges.NOT_TWICE]
    for pair in (*answers_edges.LEFT_ALONE, *answers_edges.UNANSWERED):
        words += pair
    words += [f"`{option}`" for option in test_configs.OWN]
    assert [w for w in (*rows, *words) if w not in text] == []


@pytest.mark.parametrize("name", answers.ROWS)
def test_same(sides, name):
    if name in LEFT_OUT:
        pytest.skip(LEFT_OUT[name])
    with futures.ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(lambda side: side.run(name), sides)
    assert theirs, "nothing was asked"
    found = answers.differences(theirs, ours)
    if name in ACCEPTED and not answers.AGAINST_KAFKA:
        assert found, f"no difference any more: {ACCEPTED[name]}"
    else:
        assert not found, "\n" + "\n".join(found[:60])
