# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What tools/quickstart and tests/run share: Debian's packages, an out-of-tree
# build, and a ZooKeeper of one's own.  Sourced, never run.

BUILD_PACKAGES="gcc make autoconf automake pkg-config libc6-dev
 libzookeeper-mt-dev libevent-dev libssl-dev libjansson-dev zlib1g-dev
 libsnappy-dev liblz4-dev libzstd-dev libisal-dev libxxhash-dev libcunit1-dev
 librdkafka-dev libsystemd-dev uthash-dev"
RUN_PACKAGES="zookeeper kcat"
TEST_PACKAGES="python3-pytest python3-pytest-xdist python3-kafka
 python3-confluent-kafka
 python3-kazoo libfaketime openssl clang libclang-rt-14-dev xz-utils mandoc
 systemd iproute2"

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# need_packages NAME...: installs what is missing, as root or by sudo; without
# either it names what is missing and ends.
need_packages() {
	local missing=() name state
	for name in "$@"; do
		state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null) || state=
		[ "${state:0:2}" = ii ] || missing+=("$name")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	local as_root=
	if [ "$(id -u)" != 0 ]; then
		if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
			as_root="sudo -n"
		else
			die "these packages are missing: ${missing[*]}
Install them with: apt-get install ${missing[*]}"
		fi
	fi
	say "installing: ${missing[*]}"
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q > /dev/null ||
		die "apt-get update failed"
	# The service of the zookeeper packages is not wanted, only its classes.
	$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends "${missing[@]}" > /dev/null ||
		die "apt-get install failed"
}

# build_tree TOP BUILD [configure arguments]: configures once, builds always:
# everything, or what BUILD_TARGETS names.
build_tree() {
	local top=$1 build=$2
	shift 2
	[ -x "$top/configure" ] && [ "$top/configure" -nt "$top/configure.ac" ] ||
		"$top/autogen.sh" > /dev/null 2>&1 || die "autogen.sh failed"
	mkdir -p "$build"
	if [ ! -f "$build/Makefile" ] || [ "$top/configure" -nt "$build/Makefile" ]; then
		(cd "$build" && "$top/configure" -q "$@") || die "configure failed"
	fi
	# shellcheck disable=SC2086
	if ! make -C "$build" -j "$(nproc)" ${BUILD_TARGETS:-all} \
		> "$build/build.log" 2>&1; then
		grep -nE 'error|warning|Error' "$build/build.log" | tail -n 20
		die "make failed: see $build/build.log"
	fi
}

free_port() {
	/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start_zookeeper DIR PORT: one server on loopback; its pid goes to DIR/zookeeper.pid.
start_zookeeper() {
	local dir=$1 port=$2
	mkdir -p "$dir/zookeeper"
	cat > "$dir/zookeeper.cfg" <<-P
	tickTime=500
	dataDir=$dir/zookeeper
	clientPort=$port
	clientPortAddress=127.0.0.1
	admin.enableServer=false
	maxClientCnxns=0
	4lw.commands.whitelist=*
	P
	java -Xmx256m -Dzookeeper.log.dir="$dir" -cp /usr/share/java/zookeeper.jar \
		org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zookeeper.cfg" \
		> "$dir/zookeeper.log" 2>&1 < /dev/null &
	echo $! > "$dir/zookeeper.pid"
	wait_for_port "$port" 30 || die "ZooKeeper did not start: see $dir/zookeeper.log"
}

# wait_for_port PORT SECONDS
wait_for_port() {
	local tries=$(($2 * 10))
	while [ "$tries" -gt 0 ]; do
		(: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null && return 0
		sleep 0.1
		tries=$((tries - 1))
	done
	return 1
}
