/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that go to the loop that serves them. */
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/net_client.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/unit.h"

#define LOOPS 3

#define NOBODY '-'

/* The loop that answered, of whom loop `by` does the work, or nobody but
 * itself, at once; '?': no loop answered. */
static char
ask(int fd, char by)
{
	const char body[2] = { by == NOBODY ? 'o' : 's', by };
	struct buffer answer = BUFFER_EMPTY;
	char loop = '?';
	int32_t id;

	client_request(fd, API_METADATA, 7, body, sizeof(body));
	if (client_answer(fd, &id, &answer) && answer.length == 1)
		loop = (char)answer.data[0];
	buffer_fini(&answer);
	return (loop);
}

static char
another(char loop)
{
	return (loop == '0' ? '2' : (char)(loop - 1));
}

static void
test_moves(void)
{
	struct rig rig;
	char at, to;
	int fd;

	rig_init(&rig, LOOPS);
	rig_start(&rig);
	fd = client_connect(&rig);
	at = ask(fd, '0');
	for (int round = 0; round < 100; round++) {
		to = another(at);
		CU_ASSERT_EQUAL(ask(fd, to), at);
		CU_ASSERT_EQUAL(ask(fd, to), at);
		CU_ASSERT_EQUAL(ask(fd, to), at);
		CU_ASSERT_EQUAL(ask(fd, to), to);
		CU_ASSERT_EQUAL(ask(fd, to), to);
		at = to;
	}
	close(fd);
	await_metric(&rig, METRIC_CONNECTIONS_CLOSED, METRICS_CLOSE_PEER, 1);
	rig_fini(&rig);
}

/* Whoever asks for other things as well stays where it is. */
static void
test_stays(void)
{
	struct rig rig;
	char at, one, two;
	int fd;

	rig_init(&rig, LOOPS);
	rig_start(&rig);
	fd = client_connect(&rig);
	at = ask(fd, NOBODY);
	one = another(at);
	two = another(one);
	for (int round = 0; round < 20; round++) {
		CU_ASSERT_EQUAL(ask(fd, one), at);
		CU_ASSERT_EQUAL(ask(fd, one), at);
		CU_ASSERT_EQUAL(ask(fd, two), at);
		CU_ASSERT_EQUAL(ask(fd, two), at);
		client_request(fd, API_METADATA, 1, "ex", 2);
		CU_ASSERT(client_expect(fd, 1, "x"));
		CU_ASSERT_EQUAL(ask(fd, two), at);
		CU_ASSERT_EQUAL(ask(fd, at), at);
	}
	close(fd);
	rig_fini(&rig);
}

/* One connection for a group and its data: home for the data. */
static void
test_home_again(void)
{
	struct rig rig;
	char at, to;
	int fd;

	rig_init(&rig, LOOPS);
	rig_start(&rig);
	fd = client_connect(&rig);
	at = ask(fd, NOBODY);
	to = another(at);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3; i++)
			CU_ASSERT_EQUAL(ask(fd, to), at);
		CU_ASSERT_EQUAL(ask(fd, to), to);
		for (int i = 0; i < 2; i++)
			CU_ASSERT_EQUAL(ask(fd, NOBODY), to);
		CU_ASSERT_EQUAL(ask(fd, to), to);
		for (int i = 0; i < 3; i++)
			CU_ASSERT_EQUAL(ask(fd, NOBODY), to);
		CU_ASSERT_EQUAL(ask(fd, NOBODY), at);
	}
	close(fd);
	rig_fini(&rig);
}

#define DEALT 12

/* New ones are dealt evenly, wherever those before them have gone. */
static void
test_dealt_evenly(void)
{
	struct rig rig;
	int fds[2 * DEALT];
	int at[LOOPS] = { 0 };

	rig_init(&rig, LOOPS);
	rig_start(&rig);
	for (size_t i = 0; i < DEALT; i++) {
		fds[i] = client_connect(&rig);
		for (int n = 0; n < 3; n++)
			(void)ask(fds[i], '0');
		CU_ASSERT_EQUAL(ask(fds[i], '0'), '0');
	}
	for (size_t i = DEALT; i < 2 * DEALT; i++) {
		char loop;

		fds[i] = client_connect(&rig);
		loop = ask(fds[i], NOBODY);
		if (loop >= '0' && loop < '0' + LOOPS)
			at[loop - '0']++;
	}
	for (size_t i = 0; i < LOOPS; i++)
		CU_ASSERT_EQUAL(at[i], DEALT / LOOPS);
	for (size_t i = 0; i < 2 * DEALT; i++)
		close(fds[i]);
	rig_fini(&rig);
}

/* Requests that lie there already are answered in their order. */
static void
test_many_at_once(void)
{
	struct rig rig;
	struct buffer answer = BUFFER_EMPTY;
	char body[3] = "s0";
	bool order = true;
	int32_t id = 0;
	int fd;

	rig_init(&rig, LOOPS);
	rig_start(&rig);
	fd = client_connect(&rig);
	for (int32_t i = 0; i < 3000; i++) {
		body[1] = (char)('0' + i / 7 % LOOPS);
		client_request(fd, i % 2 ? API_METADATA : API_PRODUCE, i, body,
		    2);
	}
	for (int32_t i = 0; i < 3000; i++)
		order &= client_answer(fd, &id, &answer) && id == i;
	CU_ASSERT_TRUE(order);
	buffer_fini(&answer);
	close(fd);
	rig_fini(&rig);
}

#define PEERS 60

/* A stop comes while many are on their way: all are closed, none is lost. */
static void
test_stop(void)
{
	const struct task_ref nobody = { NULL, 0 };

	for (int round = 0; round < 30; round++) {
		struct rig rig;
		int fds[PEERS];
		char body[3] = "s0";

		rig_init(&rig, LOOPS);
		rig_start(&rig);
		for (size_t i = 0; i < PEERS; i++)
			fds[i] = client_connect(&rig);
		for (int32_t n = 0; n < 4 + round % 3; n++)
			for (size_t i = 0; i < PEERS; i++) {
				body[1] = (char)('0' + i % LOOPS);
				client_request(fds[i], API_METADATA, n, body,
				    2);
			}
		while (atomic_load(&rig.begun) < PEERS * 3)
			(void)usleep(20);
		net_stop(rig.net, clock_mono_ns(rig.clock) + 5000000000,
		    nobody);
		while (!net_stopped(rig.net))
			(void)usleep(100);
		for (size_t i = 0; i < PEERS; i++)
			close(fds[i]);
		rig_end(&rig);
	}
}

static const struct unit_test tests[] = {
	{ "to the loop that serves it", test_moves },
	{ "who asks for other things stays", test_stays },
	{ "home again", test_home_again },
	{ "dealt evenly", test_dealt_evenly },
	{ "many requests at once", test_many_at_once },
	{ "a stop meanwhile", test_stop },
};

int
main(void)
{
	return (unit_main("net_rehome", tests, nelems(tests)));
}
