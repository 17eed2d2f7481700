/* SPDX-License-Identifier: Apache-2.0 */
/* What changes of the server's options while it runs. */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "net/tls.h"
#include "tests/unit/net_client.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/unit.h"

/* --- handing them over ---------------------------------------------------- */

struct take {
	struct rig *rig;
	const struct net_options *next;
	atomic_uint done;
};

static void
take_run(void *arg)
{
	struct take *take = arg;

	net_take_options(take->rig->net, take->next);
	atomic_fetch_add(&take->done, 1);
}

/* Each loop has them when it returns. */
static void
take(struct rig *rig, const struct net_options *next)
{
	struct take take = { .rig = rig, .next = next };

	for (size_t i = 0; i < rig->loop_count; i++)
		loop_post_call(rig->loops[i], take_run, &take);
	await_count(&take.done, (unsigned)rig->loop_count);
}

static bool
served(int fd)
{
	client_request(fd, API_METADATA, 1, "ehi", 3);
	return (client_expect(fd, 1, "hi"));
}

static void
close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* --- the tests ------------------------------------------------------------ */

/* Who waited is let in; then the silent ones go until it fits, the one that
 * spoke last stays. */
static void
test_max_connections(void)
{
	struct rig rig;
	struct net_options more, less;
	int fds[3];

	rig_init(&rig, 2);
	rig.options.max_connections = 2;
	rig_start(&rig);
	for (size_t i = 0; i < 2; i++) {
		fds[i] = client_connect(&rig);
		CU_ASSERT(served(fds[i]));
	}
	fds[2] = client_connect(&rig);
	client_request(fds[2], API_METADATA, 1, "ehi", 3);
	more = less = rig.options;
	more.max_connections = 3;
	take(&rig, &more);
	CU_ASSERT(client_expect(fds[2], 1, "hi"));
	less.max_connections = 1;
	take(&rig, &less);
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_OVER_LIMIT,
	    2);
	CU_ASSERT(client_closed(fds[0]));
	CU_ASSERT(client_closed(fds[1]) != client_closed(fds[2]));
	close_all(fds, 3);
	rig_fini(&rig);
}

/* The listener of brokers takes more, and others make room. */
static void
test_brokers_first(void)
{
	struct rig rig;
	struct net_options options;
	struct config_listener brokers = { .name = "BROKERS",
		.host = "127.0.0.1", .connections_max = INT32_MAX,
		.connection_creation_rate_max = INT32_MAX };
	int client, broker;

	rig_init(&rig, 1);
	rig_open(&rig);
	CHECK(net_listen(rig.net, &brokers));
	net_start(rig.net);
	broker = client_connect_to(brokers.port, 0);
	CU_ASSERT(served(broker));
	client = client_connect(&rig);
	CU_ASSERT(served(client));
	options = rig.options;
	options.max_connections = 1;
	options.inter_broker_listener = &brokers;
	take(&rig, &options);
	CU_ASSERT(client_closed(client));
	close(client);
	CU_ASSERT(served(broker));
	client = client_connect_to(brokers.port, 0);
	CU_ASSERT(served(client));
	CU_ASSERT(served(broker));
	close(client);
	close(broker);
	rig_fini(&rig);
}

/* A listener's own bound, by its name, and its rate. */
static void
test_listeners_own(void)
{
	struct rig rig;
	struct net_options tight, wide;
	struct config_listener one, none;
	int fds[2];

	rig_init(&rig, 1);
	one = none = rig.listener;
	one.connections_max = 1;
	none.connection_creation_rate_max = 0;
	tight = wide = rig.options;
	tight.listener_list = (struct listener_list){ &one, 1 };
	wide.listener_list = (struct listener_list){ &rig.listener, 1 };
	rig_start(&rig);
	take(&rig, &tight);
	fds[0] = client_connect(&rig);
	CU_ASSERT(served(fds[0]));
	fds[1] = client_connect(&rig);
	client_request(fds[1], API_METADATA, 1, "ehi", 3);
	(void)usleep(20000);
	CU_ASSERT_EQUAL(atomic_load(&rig.begun), 1);
	take(&rig, &wide);
	CU_ASSERT(client_expect(fds[1], 1, "hi"));
	close_all(fds, 2);
	tight.listener_list.items = &none;
	take(&rig, &tight);
	fds[0] = client_connect(&rig);
	client_request(fds[0], API_METADATA, 1, "ehi", 3);
	(void)usleep(20000);
	CU_ASSERT_EQUAL(atomic_load(&rig.begun), 2);
	take(&rig, &wide);
	CU_ASSERT(client_expect(fds[0], 1, "hi"));
	close(fds[0]);
	rig_fini(&rig);
}

/* Of one address: new exceptions count, and old ones no more. */
static void
test_addresses(void)
{
	struct rig rig;
	struct net_options next;
	int fds[4];

	rig_init(&rig, 1);
	rig_start(&rig);
	for (size_t i = 0; i < 2; i++) {
		fds[i] = client_connect(&rig);
		CU_ASSERT(served(fds[i]));
	}
	next = rig.options;
	next.max_connections_per_ip = 100;
	next.max_connections_per_ip_overrides = "127.0.0.1:2, 127.0.0.9:0";
	net_take_address_bounds(rig.net, &next);
	fds[2] = client_connect(&rig);
	CU_ASSERT(client_closed(fds[2]));
	close(fds[2]);
	next.max_connections_per_ip_overrides = "";
	net_take_address_bounds(rig.net, &next);
	fds[2] = client_connect(&rig);
	CU_ASSERT(served(fds[2]));
	next.max_connections_per_ip = 3;
	net_take_address_bounds(rig.net, &next);
	fds[3] = client_connect(&rig);
	CU_ASSERT(client_closed(fds[3]));
	/* Those that are there stay. */
	CU_ASSERT(served(fds[0]));
	close_all(fds, 4);
	rig_fini(&rig);
}

/* Requests of one connection under way. */
static void
test_requests(void)
{
	struct rig rig;
	struct net_options next;
	int fd;

	rig_init(&rig, 1);
	rig.options.connection_requests_max = 2;
	rig_start(&rig);
	fd = client_connect(&rig);
	for (int32_t i = 0; i < 4; i++)
		client_request(fd, API_PRODUCE, i, "h", 1);
	await_count(&rig.held_count, 2);
	(void)usleep(20000);
	CU_ASSERT_EQUAL(atomic_load(&rig.held_count), 2);
	next = rig.options;
	next.connection_requests_max = 4;
	take(&rig, &next);
	await_count(&rig.held_count, 4);
	rig_release(&rig);
	close(fd);
	rig_fini(&rig);
}

/* One opens beside the others, and goes with its connections alone; its answers
 * under way are dropped. */
static void
test_listeners_come_and_go(void)
{
	struct rig rig;
	int old, fds[8];

	rig_init(&rig, 2);
	rig_start(&rig);
	old = client_connect(&rig);
	CU_ASSERT(served(old));
	for (int round = 0; round < 10; round++) {
		const struct config_listener more = { .name = "MORE",
			.host = "127.0.0.1", .connections_max = INT32_MAX,
			.connection_creation_rate_max = INT32_MAX };
		struct listener *l = net_bind(rig.net, &more, NULL);
		int32_t port = net_port(rig.net, "more");

		CU_ASSERT_FATAL(l != NULL && port > 0);
		for (size_t i = 0; i < nelems(fds); i++)
			fds[i] = client_connect_to(port, 0);
		net_open_listener(l);
		for (size_t i = 0; i < nelems(fds); i++)
			CU_ASSERT(served(fds[i]));
		client_request(fds[0], API_METADATA, 2,
		    "d\0\0\0\001late", 9);
		net_close_listener(rig.net, "MORE");
		for (size_t i = 1; i < nelems(fds); i++)
			CU_ASSERT(client_closed(fds[i]));
		CU_ASSERT_EQUAL(client_connect_to(port, 0), -1);
		CU_ASSERT_EQUAL(net_port(rig.net, "MORE"), -1);
		close_all(fds, nelems(fds));
		CU_ASSERT(served(old));
		/* Nobody has it. */
		net_close_listener(rig.net, "MORE");
	}
	await_count(&rig.waiting, 0);
	close(old);
	rig_fini(&rig);
}

/* One that is not opened; one that cannot be bound; too many. */
static void
test_listeners_refused(void)
{
	struct rig rig;
	struct config_listener more = { .name = "MORE", .host = "127.0.0.1",
		.connections_max = INT32_MAX,
		.connection_creation_rate_max = INT32_MAX };
	struct tls_report report;
	struct listener *l;
	size_t count = 0;

	rig_init(&rig, 1);
	rig_start(&rig);
	more.port = rig.listener.port;
	CU_ASSERT_PTR_NULL(net_bind(rig.net, &more, NULL));
	CU_ASSERT_FALSE(net_may_listen(rig.net, &more, &report));
	more.port = 0;
	CU_ASSERT_TRUE(net_may_listen(rig.net, &more, &report));
	while ((l = net_bind(rig.net, &more, NULL)) != NULL) {
		net_drop_listener(l);
		count++;
	}
	CU_ASSERT_EQUAL(count, 63);
	CU_ASSERT_FALSE(net_may_listen(rig.net, &more, &report));
	CU_ASSERT_PTR_NOT_NULL(strstr(report.error, "too many came"));
	CU_ASSERT_EQUAL(net_port(rig.net, "MORE"), -1);
	rig_fini(&rig);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "max.connections", test_max_connections },
		{ "the listener of brokers", test_brokers_first },
		{ "a listener's own bounds", test_listeners_own },
		{ "bounds of addresses", test_addresses },
		{ "requests under way", test_requests },
		{ "listeners come and go", test_listeners_come_and_go },
		{ "listeners that are refused", test_listeners_refused },
	};

	return (unit_main("net_options", tests, nelems(tests)));
}
