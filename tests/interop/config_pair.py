# SPDX-License-Identifier: Apache-2.0
"""barnabasd and the real Kafka, asked for the same of their configs."""

import json

import harness
import wire

SET, DELETE, APPEND, SUBTRACT = range(4)
TOPIC, BROKER, LOGGER, CLIENT_METRICS = 2, 4, 8, 16


class Pair:
    """Ours and the real one, each in a cluster of its own."""

    def __init__(self, brokers):
        self.brokers = brokers
        self.clients = [wire.Client(b.address) for b in brokers]
        self.nodes = []
        for broker in brokers:
            self.nodes.append(harness.connect_zk(broker))

    def end(self):
        for client, nodes in zip(self.clients, self.nodes):
            client.close()
            nodes.end()

    def each(self, api, version, **values):
        return [c.call(api, version, **values) for c in self.clients]

    def node(self, path):
        """What both have there, as JSON; None: there is none."""
        return [json.loads(z.get(path)[0]) if z.exists(path) else None
                for z in self.nodes]

    def notices(self):
        """Of the changes so far, in their order."""
        return [[json.loads(z.get(f"/config/changes/{name}")[0]) for name
                 in sorted(z.get_children("/config/changes"))]
                for z in self.nodes]


def resource(kind, name, rows):
    return {"ResourceType": kind, "ResourceName": name, "Configs": [
        {"Name": n, "Value": v, **({} if op is None else
                                   {"ConfigOperation": op})}
        for n, op, v in rows]}


def alter(pair, version, *resources, validate=True):
    """Incremental ones; what both answered."""
    answers = pair.each("IncrementalAlterConfigs", version,
                        ValidateOnly=validate, Resources=[
                            resource(*r) for r in resources])
    return [a["Responses"] for a in answers]


def replace(pair, version, *resources, validate=True):
    answers = pair.each("AlterConfigs", version, ValidateOnly=validate,
                        Resources=[resource(kind, name, [
                            (n, None, v) for n, v in rows])
                            for kind, name, rows in resources])
    return [a["Responses"] for a in answers]


def without_order(answer):
    """Kafka writes sets in the order of their hashes."""
    def settled(text):
        head, bracket, tail = (text or "").rpartition("Set(")
        return text if not bracket else head + bracket + ", ".join(
            sorted(tail.rstrip(")").split(", "))) + ")"
    return [{**r, "ErrorMessage": settled(r["ErrorMessage"])} for r in answer]


def equal(answers):
    ours, real = map(without_order, answers)
    assert ours == real
    return ours


def shown(pair, kind, name, *keys, version=4, docs=False):
    """What both tell of it, by name; texts of ours are our own."""
    answers = pair.each("DescribeConfigs", version, Resources=[
        {"ResourceType": kind, "ResourceName": name,
         "ConfigurationKeys": list(keys) or None}], **(
             {"IncludeSynonyms": True} if version > 0 else {}), **(
                 {"IncludeDocumentation": docs} if version > 2 else {}))
    out = []
    for answer in answers:
        result, = answer["Results"]
        out.append({**result, "Configs": {
            c["Name"]: {**c, "Documentation": (
                c["Documentation"] and "...") if "Documentation" in c
                else None} for c in result["Configs"]}})
    return out
