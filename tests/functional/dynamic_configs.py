# SPDX-License-Identifier: Apache-2.0
"""Configs of brokers as they are set at run time, in ZooKeeper, and as a broker
describes them."""

import json

import harness
import wire

DEFAULT = "<default>"
SET, DELETE, APPEND, SUBTRACT = range(4)
TOPIC, BROKER, LOGGER = 2, 4, 8


class Settings:
    """What /config/brokers of a broker's cluster holds."""

    def __init__(self, broker):
        address, _, self.chroot = broker.options[
            "zookeeper.connect"].partition("/")
        self.zk = harness.connect_zk(address)
        self.zk.ensure_path(f"/{self.chroot}/config/changes")

    def path(self, path):
        return f"/{self.chroot}{path}"

    def set(self, name, config, notify=True):
        """The whole config of one broker, or of all (DEFAULT), as kafka-configs
        writes it; with a notification, which every broker expects."""
        path = self.path(f"/config/brokers/{name}")
        data = json.dumps({"version": 1, "config": config}).encode()
        if self.zk.exists(path):
            self.zk.set(path, data)
        else:
            self.zk.create(path, data, makepath=True)
        if notify:
            self.zk.create(
                self.path("/config/changes/config_change_"), json.dumps(
                    {"version": 2, "entity_path": f"brokers/{name}"}).encode(),
                sequence=True)

    def close(self):
        self.zk.end()


def alter(client, kind, name, *rows, version=1, validate=False):
    """(error, message) of one resource."""
    row, = client.call(
        "IncrementalAlterConfigs", version, ValidateOnly=validate,
        Resources=[{"ResourceType": kind, "ResourceName": name, "Configs": [
            {"Name": n, "ConfigOperation": op, "Value": v}
            for n, op, v in rows]}])["Responses"]
    assert (row["ResourceType"], row["ResourceName"]) == (kind, name)
    return row["ErrorCode"], row["ErrorMessage"]


def described(broker, *names, topic=None, entity="0"):
    """{name: (value, source)}"""
    with wire.Client(broker.address) as c:
        result = c.call("DescribeConfigs", 1, IncludeSynonyms=False,
                        Resources=[{
                            "ResourceType": 2 if topic else 4,
                            "ResourceName": topic or entity,
                            "ConfigurationKeys": list(names)}])["Results"][0]
    assert result["ErrorCode"] == 0
    return {c["Name"]: (c["Value"], c["ConfigSource"])
            for c in result["Configs"]}
