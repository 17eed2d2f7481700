/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library driver against a real ZooKeeper, started here from Debian's
 * package on a free port and in a directory of its own.  Skipped (77) where
 * java or the package is missing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/random.h"
#include "config/options.h"
#include "tests/unit/unit.h"
#include "zkglue/driver.h"

/* For what a busy machine may be slow at. */
#define PATIENCE_MS 120000
#define JAR "/usr/share/java/zookeeper.jar"
#define ENVIRONMENT "/usr/share/zookeeper/bin/zkEnv.sh"

/* --- the server ----------------------------------------------------------- */

struct server {
	char directory[64];
	char connect[64];
	int port;
	pid_t pid;
};

/* Below those that the kernel gives to outgoing connections: none of them can
 * take it while the server is down. */
static int
free_port(void)
{
	struct random random;

	random_seed_system(&random);
	for (;;) {
		int port = 12000 + (int)random_below(&random, 20000);
		struct sockaddr_in address = {
			.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			.sin_port = htons((uint16_t)port),
		};
		int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int rc = bind(s, (struct sockaddr *)&address, sizeof(address));

		close(s);
		if (rc == 0)
			return (port);
	}
}

static bool
server_answers(const struct server *server)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)server->port),
	};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = connect(s, (struct sockaddr *)&address, sizeof(address));

	close(s);
	return (rc == 0);
}

static void
nap_ms(int ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&time, NULL);
}

static void
server_start(struct server *server)
{
	char config[96];
	char log[96];

	snprintf(config, sizeof(config), "%s/zoo.cfg", server->directory);
	snprintf(log, sizeof(log), "%s/log", server->directory);
	server->pid = fork();
	CHECK(server->pid >= 0);
	if (server->pid == 0) {
		int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out, 1);
		dup2(out, 2);
		execlp("java", "java", "-Xmx128m",
		    "-Dzookeeper.jmx.log4j.disable=true", "-cp",
		    "/etc/zookeeper/conf:/usr/share/java/*",
		    "org.apache.zookeeper.server.quorum.QuorumPeerMain",
		    config, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 300 && !server_answers(server); i++)
		nap_ms(100);
	CHECK(server_answers(server));
}

static void
server_kill(struct server *server)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
}

static void
server_init(struct server *server)
{
	char config[96];
	FILE *stream;

	snprintf(server->directory, sizeof(server->directory),
	    "/tmp/test_zk_library_XXXXXX");
	CHECK(mkdtemp(server->directory) != NULL);
	server->port = free_port();
	snprintf(server->connect, sizeof(server->connect),
	    "127.0.0.1:%d/barnabas/test", server->port);
	snprintf(config, sizeof(config), "%s/zoo.cfg", server->directory);
	stream = fopen(config, "w");
	CHECK(stream != NULL);
	fprintf(stream,
	    "tickTime=200\ndataDir=%s/data\nclientPort=%d\n"
	    "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
	    "minSessionTimeout=400\nmaxSessionTimeout=60000\n",
	    server->directory, server->port);
	fclose(stream);
	server_start(server);
}

static void
server_fini(struct server *server)
{
	char command[128];

	server_kill(server);
	snprintf(command, sizeof(command), "rm -rf '%s'", server->directory);
	CHECK(system(command) == 0);
}

/* --- a broker's side ------------------------------------------------------ */

struct bench {
	struct scheduler *scheduler;
	struct loop *loop;
	struct work_queue *workers;
	struct diag *diag;
	struct zk_driver *driver;
	struct zkglue_options options;
	char session_file[96];
	struct zk *zk;
};

/* One for all tests of this program. */
static struct server the_server;

static void
bench_init(struct bench *b)
{
	*b = (struct bench){ .options = {
		.connect = the_server.connect,
		.session_timeout_ms = 4000,
		.connection_timeout_ms = -1,
		.max_in_flight_requests = 10,
	} };
	b->diag = diag_new(clock_system(), NULL);
	diag_set_level(b->diag, DIAG_ROOM_zkglue,
	    getenv("VERBOSE") != NULL ? DIAG_TRACE : DIAG_FATAL);
	b->scheduler = scheduler_new_threads(clock_system(), 2, b->diag);
	b->loop = loop_new(b->scheduler, "controller");
	b->workers = work_queue_new(b->scheduler, "zookeeper", 2);
	b->driver = zk_driver_library(b->diag);
	loop_start(b->loop);
	snprintf(b->session_file, sizeof(b->session_file),
	    "%s/barnabas.session", the_server.directory);
}

static void
bench_fini(struct bench *b)
{
	loop_stop(b->loop);
	loop_free(b->loop);
	work_queue_free(b->workers);
	b->driver->ops->free(b->driver);
	scheduler_free(b->scheduler);
	diag_free(b->diag);
}

/* Runs a script of steps as a task on the loop and waits for its end. */
struct script {
	struct bench *bench;
	task_step *first;
	bool dies; /* of the saved session's two */
	int ready_fd;  /* of the expiry: told when its session stands */
	bool expired;
	bool good;
	atomic_bool ready;
	atomic_bool over;
};

struct scripted {
	struct script *script;
	struct zk *zk;
	struct zk_batch *batch;
	struct zk_watcher watcher;
	struct waitq_link link;
	struct zk_op *op[5];
	struct zk_op **made;
	int64_t id;
	int round;
	bool closed;
};

static void
scripted_fini(struct task *task)
{
	struct scripted *s = task_state(task);

	atomic_store(&s->script->over, true);
}

static const struct task_class scripted_class = {
	.name = "script",
	.state_size = sizeof(struct scripted),
	.fini = scripted_fini,
};

static void
scripted_setup(struct task *task, void *arg)
{
	struct scripted *s = task_state(task);

	s->script = arg;
}

static void
script_start(void *arg)
{
	struct script *script = arg;

	task_start(script->bench->loop, &scripted_class, script->first,
	    scripted_setup, script);
}

static bool
script_wait(struct script *script, int ms)
{
	for (int i = 0; i < ms / 10; i++) {
		if (atomic_load(&script->over))
			return (true);
		nap_ms(10);
	}
	return (atomic_load(&script->over));
}

/* --- common steps --------------------------------------------------------- */

static struct zk *
zk_open(struct scripted *s, bool saved)
{
	struct bench *b = s->script->bench;
	struct zk_setup setup = {
		.loop = b->loop,
		.workers = b->workers,
		.driver = b->driver,
		.options = &b->options,
		.diag = b->diag,
		.session_file = saved ? b->session_file : NULL,
		.session_identity = "this machine",
	};

	return (zk_new(&setup));
}

static enum verdict
step_end(struct task *task)
{
	(void)task;
	return (STEP_DONE);
}

/* When it is told of the close, the zk is no more. */
static enum verdict
step_close(struct task *task)
{
	struct scripted *s = task_state(task);

	if (s->zk != NULL) {
		waitq_leave(zk_state_changed(s->zk), &s->link);
		zk_close(s->zk, task_ref(task), &s->closed);
		s->zk = NULL;
	}
	if (!s->closed)
		return (STEP_WAIT);
	return (task_next(task, step_end));
}

static bool
connected(struct task *task, uint64_t ordinal)
{
	struct scripted *s = task_state(task);

	waitq_join(zk_state_changed(s->zk), &s->link, task);
	return (zk_state(s->zk) == ZK_CONNECTED &&
	    zk_session_ordinal(s->zk) >= ordinal);
}

/* --- operations ----------------------------------------------------------- */

static enum verdict
operations_check(struct task *task)
{
	struct scripted *s = task_state(task);

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	CU_ASSERT_EQUAL(zk_batch_worst(s->batch), ZK_BAD_VERSION);
	CU_ASSERT_PTR_NULL(s->op[0]->answer.data);
	CU_ASSERT_TRUE(slice_equal(s->op[1]->answer, SLICE_EMPTY));
	CU_ASSERT_EQUAL(s->op[1]->stat.ephemeral_owner, zk_session_id(s->zk));
	CU_ASSERT_EQUAL(s->op[2]->child_count, 3);
	CU_ASSERT_STRING_EQUAL(s->op[2]->children[0], "empty");
	CU_ASSERT_STRING_EQUAL(s->op[2]->children[2], "s_0000000002");
	CU_ASSERT_EQUAL(s->op[3]->parts[0].rc, ZK_ROLLED_BACK);
	CU_ASSERT_EQUAL(s->op[3]->parts[1].rc, ZK_BAD_VERSION);
	CU_ASSERT_EQUAL(s->op[3]->parts[2].rc, ZK_ROLLED_BACK);
	CU_ASSERT_TRUE(slice_equal_text(s->op[4]->answer, ZK_ACL_OPEN));
	zk_batch_free(&s->batch);
	return (task_next(task, step_close));
}

static enum verdict
operations_start(struct task *task)
{
	struct scripted *s = task_state(task);
	struct zk_op *multi;

	if (s->zk == NULL)
		s->zk = zk_open(s, false);
	if (!connected(task, 1))
		return (STEP_WAIT);
	s->batch = zk_batch_new(s->zk);
	zk_batch_create(s->batch, "/o", SLICE_NULL, ZK_PERSISTENT);
	zk_batch_create(s->batch, "/o/null", SLICE_NULL, ZK_PERSISTENT);
	zk_batch_create(s->batch, "/o/empty", SLICE_EMPTY, ZK_EPHEMERAL);
	multi = zk_batch_multi(s->batch, 2);
	zk_multi_check(s->batch, multi, "/o/null", 0);
	zk_multi_create(s->batch, multi, "/o/s_", SLICE_NULL, ZK_SEQUENTIAL);
	s->op[0] = zk_batch_get(s->batch, "/o/null", NULL);
	s->op[1] = zk_batch_get(s->batch, "/o/empty", NULL);
	s->op[2] = zk_batch_children(s->batch, "/o", NULL);
	s->op[3] = zk_batch_multi(s->batch, 3);
	zk_multi_set(s->batch, s->op[3], "/o/null", SLICE_LITERAL("x"), 0);
	zk_multi_check(s->batch, s->op[3], "/o", 9);
	zk_multi_delete(s->batch, s->op[3], "/o/null", 1);
	s->op[4] = zk_batch_acl(s->batch, "/o");
	zk_batch_submit(s->batch, task);
	return (task_next(task, operations_check));
}

static void
test_operations(void)
{
	struct bench b;
	struct script script = { .bench = &b, .first = operations_start };

	bench_init(&b);
	loop_post_call(b.loop, script_start, &script);
	CU_ASSERT_TRUE_FATAL(script_wait(&script, PATIENCE_MS));
	bench_fini(&b);
}

/* --- a close with requests under way -------------------------------------- */

/* The server holds its breath, so none of them is answered. */
static enum verdict
cut_short_start(struct task *task)
{
	struct scripted *s = task_state(task);
	struct zk_op *multi;

	if (s->zk == NULL)
		s->zk = zk_open(s, false);
	if (!connected(task, 1))
		return (STEP_WAIT);
	CHECK(kill(the_server.pid, SIGSTOP) == 0);
	s->batch = zk_batch_new(s->zk);
	for (int i = 0; i < 4; i++) {
		zk_batch_get(s->batch, "/", NULL);
		zk_batch_children(s->batch, "/", NULL);
	}
	multi = zk_batch_multi(s->batch, 1);
	zk_multi_create(s->batch, multi, "/never_", SLICE_LITERAL("x"),
	    ZK_SEQUENTIAL);
	zk_batch_submit(s->batch, task);
	zk_batch_free(&s->batch);
	return (task_next(task, step_close));
}

/* Under ASan: the client forgets completions, and their calls are freed. */
static void
test_cut_short(void)
{
	struct bench b;
	struct script script = { .bench = &b, .first = cut_short_start };
	bool over;

	bench_init(&b);
	loop_post_call(b.loop, script_start, &script);
	over = script_wait(&script, 60000);
	CHECK(kill(the_server.pid, SIGCONT) == 0);
	CU_ASSERT_TRUE_FATAL(over);
	bench_fini(&b);
}

/* --- watches -------------------------------------------------------------- */

static enum verdict watch_read(struct task *task);

static enum verdict
watch_written(struct task *task)
{
	struct scripted *s = task_state(task);

	waitq_join(&s->watcher.woken, &s->link, task);
	if (!s->watcher.changed || !zk_batch_done(s->batch))
		return (STEP_WAIT);
	zk_batch_free(&s->batch);
	if (s->round++ < 3)
		return (task_next(task, watch_read));
	waitq_leave(&s->watcher.woken, &s->link);
	zk_watcher_fini(&s->watcher);
	return (task_next(task, step_close));
}

/* Round 0 makes the node, 1 and 2 set it, 3 deletes it. */
static enum verdict
watch_write(struct task *task)
{
	struct scripted *s = task_state(task);

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	CU_ASSERT_EQUAL(s->op[0]->rc, s->round == 0 ? ZK_NO_NODE : ZK_OK);
	CU_ASSERT_FALSE(s->watcher.changed);
	zk_batch_free(&s->batch);
	s->batch = zk_batch_new(s->zk);
	if (s->round == 0)
		zk_batch_create(s->batch, "/w", SLICE_NULL, ZK_PERSISTENT);
	else if (s->round < 3)
		zk_batch_set(s->batch, "/w", SLICE_NULL, s->round - 1);
	else
		zk_batch_delete(s->batch, "/w", ZK_ANY_VERSION);
	zk_batch_submit(s->batch, task);
	return (task_next(task, watch_written));
}

static enum verdict
watch_read(struct task *task)
{
	struct scripted *s = task_state(task);

	s->watcher.changed = false;
	s->batch = zk_batch_new(s->zk);
	s->op[0] = zk_batch_get(s->batch, "/w", &s->watcher);
	zk_batch_submit(s->batch, task);
	return (task_next(task, watch_write));
}

static enum verdict
watch_start(struct task *task)
{
	struct scripted *s = task_state(task);

	if (s->zk == NULL)
		s->zk = zk_open(s, false);
	if (!connected(task, 1))
		return (STEP_WAIT);
	waitq_leave(zk_state_changed(s->zk), &s->link);
	zk_watcher_init(&s->watcher, s->zk);
	return (task_next(task, watch_read));
}

static void
test_watches(void)
{
	struct bench b;
	struct script script = { .bench = &b, .first = watch_start };

	bench_init(&b);
	loop_post_call(b.loop, script_start, &script);
	CU_ASSERT_TRUE_FATAL(script_wait(&script, PATIENCE_MS));
	bench_fini(&b);
}

/* --- a restart in the midst of a batch ------------------------------------ */

#define RESTART_OPS 3000

static enum verdict
restart_check(struct task *task)
{
	struct scripted *s = task_state(task);

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	for (int i = 0; i < RESTART_OPS; i++)
		CU_ASSERT_TRUE(s->made[i]->rc == ZK_OK ||
		    (s->made[i]->rc == ZK_NODE_EXISTS && s->made[i]->retried));
	CU_ASSERT_EQUAL(zk_session_ordinal(s->zk), 1);
	CU_ASSERT_EQUAL(s->op[0]->rc, ZK_OK);
	CU_ASSERT_EQUAL(s->op[0]->child_count, RESTART_OPS);
	zk_batch_free(&s->batch);
	return (task_next(task, step_close));
}

static enum verdict
restart_start(struct task *task)
{
	struct scripted *s = task_state(task);
	char path[64];

	if (s->zk == NULL)
		s->zk = zk_open(s, false);
	if (!connected(task, 1))
		return (STEP_WAIT);
	s->batch = zk_batch_new(s->zk);
	zk_batch_create(s->batch, "/r", SLICE_NULL, ZK_PERSISTENT);
	s->made = arena_array(task_arena(task), RESTART_OPS,
	    sizeof(struct zk_op *));
	for (int i = 0; i < RESTART_OPS; i++) {
		snprintf(path, sizeof(path), "/r/%d", i);
		s->made[i] = zk_batch_create(s->batch, path, SLICE_NULL,
		    ZK_PERSISTENT);
	}
	s->op[0] = zk_batch_children(s->batch, "/r", NULL);
	zk_batch_submit(s->batch, task);
	return (task_next(task, restart_check));
}

static void
test_restart(void)
{
	struct bench b;
	struct script script = { .bench = &b, .first = restart_start };

	bench_init(&b);
	/* The server takes a while to come back: the session must outlast
	 * it. */
	b.options.session_timeout_ms = 60000;
	loop_post_call(b.loop, script_start, &script);
	nap_ms(300);
	server_kill(&the_server);
	server_start(&the_server);
	CU_ASSERT_TRUE_FATAL(script_wait(&script, 60000));
	bench_fini(&b);
}

/* --- more watches than one packet holds ----------------------------------- */

#define MANY_WATCHES 8000

static enum verdict
many_check(struct task *task)
{
	struct scripted *s = task_state(task);

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	CU_ASSERT_EQUAL(s->op[0]->rc, ZK_OK);
	CU_ASSERT_EQUAL(zk_session_ordinal(s->zk), 1);
	CU_ASSERT_TRUE(s->watcher.changed);
	zk_batch_free(&s->batch);
	zk_watcher_fini(&s->watcher);
	return (task_next(task, step_close));
}

static enum verdict
many_back(struct task *task)
{
	struct scripted *s = task_state(task);

	/* Lost, and back again. */
	if (!connected(task, 1) || !s->watcher.changed)
		return (STEP_WAIT);
	zk_batch_free(&s->batch);
	s->batch = zk_batch_new(s->zk);
	s->op[0] = zk_batch_get(s->batch, "/", NULL);
	zk_batch_submit(s->batch, task);
	return (task_next(task, many_check));
}

static enum verdict
many_armed(struct task *task)
{
	struct scripted *s = task_state(task);

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	CU_ASSERT_FALSE(s->watcher.changed);
	atomic_store(&s->script->ready, true);
	return (task_next(task, many_back));
}

static enum verdict
many_start(struct task *task)
{
	struct scripted *s = task_state(task);
	char path[256];

	if (s->zk == NULL)
		s->zk = zk_open(s, false);
	if (!connected(task, 1))
		return (STEP_WAIT);
	zk_watcher_init(&s->watcher, s->zk);
	s->watcher.changed = false;
	s->batch = zk_batch_new(s->zk);
	for (int i = 0; i < MANY_WATCHES; i++) {
		snprintf(path, sizeof(path), "/%0200d", i);
		zk_batch_exists(s->batch, path, &s->watcher);
	}
	zk_batch_submit(s->batch, task);
	return (task_next(task, many_armed));
}

static void
test_many_watches(void)
{
	struct bench b;
	struct script script = { .bench = &b, .first = many_start };

	bench_init(&b);
	b.options.session_timeout_ms = 60000;
	loop_post_call(b.loop, script_start, &script);
	for (int i = 0; i < 2000 && !atomic_load(&script.ready); i++)
		nap_ms(10);
	server_kill(&the_server);
	server_start(&the_server);
	CU_ASSERT_TRUE_FATAL(script_wait(&script, PATIENCE_MS));
	bench_fini(&b);
}

/* --- a server that sleeps ------------------------------------------------- */

/* Awake again, it either takes the session up or lets it expire: whichever of
 * its threads is first. */
static enum verdict
sleep_check(struct task *task)
{
	struct scripted *s = task_state(task);
	bool kept;

	if (!connected(task, 1) || !zk_batch_done(s->batch))
		return (STEP_WAIT);
	kept = zk_session_ordinal(s->zk) == 1;
	CU_ASSERT_EQUAL(kept, zk_session_id(s->zk) == s->id);
	CU_ASSERT_EQUAL(zk_batch_worst(s->batch),
	    kept ? ZK_OK : ZK_SESSION_EXPIRED);
	zk_batch_free(&s->batch);
	return (task_next(task, step_close));
}

static void
server_sleeps(struct work *work)
{
	kill(the_server.pid, SIGSTOP);
	nap_ms(6000);
	kill(the_server.pid, SIGCONT);
	(void)work;
}

static void
server_slept(struct work *work)
{
	mem_free(work);
}

static enum verdict
sleep_start(struct task *task)
{
	struct scripted *s = task_state(task);
	struct work *work;

	if (s->zk == NULL)
		s->zk = zk_open(s, false);
	if (!connected(task, 1))
		return (STEP_WAIT);
	s->id = zk_session_id(s->zk);
	work = mem_zalloc(sizeof(*work));
	*work = (struct work){
		.run = server_sleeps, .done = server_slept,
		.home = task_loop(task),
	};
	work_submit(s->script->bench->workers, work);
	s->batch = zk_batch_new(s->zk);
	for (int i = 0; i < 5000; i++)
		zk_batch_get(s->batch, "/", NULL);
	zk_batch_submit(s->batch, task);
	return (task_next(task, sleep_check));
}

static void
test_sleep(void)
{
	struct bench b;
	struct script script = { .bench = &b, .first = sleep_start };

	bench_init(&b);
	b.options.session_timeout_ms = 1000;
	loop_post_call(b.loop, script_start, &script);
	CU_ASSERT_TRUE_FATAL(script_wait(&script, 40000));
	bench_fini(&b);
}

/* --- expiry --------------------------------------------------------------- */

static enum verdict expiry_read(struct task *task);

static enum verdict
expiry_check(struct task *task)
{
	struct scripted *s = task_state(task);
	enum zk_rc worst;

	waitq_join(zk_state_changed(s->zk), &s->link, task);
	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	worst = zk_batch_worst(s->batch);
	zk_batch_free(&s->batch);
	if (worst == ZK_SESSION_EXPIRED)
		s->script->expired = true;
	if (zk_session_ordinal(s->zk) == 1)
		return (task_next(task, expiry_read));
	s->script->good = s->script->expired && worst == ZK_OK &&
	    s->watcher.changed && zk_session_id(s->zk) != s->id;
	if (!s->script->good)
		return (task_next(task, expiry_read));
	zk_watcher_fini(&s->watcher);
	return (task_next(task, step_close));
}

/* Reads go on and on, before, while and after the session expires. */
static enum verdict
expiry_read(struct task *task)
{
	struct scripted *s = task_state(task);

	s->batch = zk_batch_new(s->zk);
	for (int i = 0; i < 100; i++)
		zk_batch_get(s->batch, "/", NULL);
	zk_batch_submit(s->batch, task);
	return (task_next(task, expiry_check));
}

static enum verdict
expiry_start(struct task *task)
{
	struct scripted *s = task_state(task);

	if (s->zk == NULL)
		s->zk = zk_open(s, false);
	if (!connected(task, 1))
		return (STEP_WAIT);
	s->id = zk_session_id(s->zk);
	zk_watcher_init(&s->watcher, s->zk);
	s->watcher.changed = false;
	CHECK(write(s->script->ready_fd, "", 1) == 1);
	return (task_next(task, expiry_read));
}

static bool
expiry_run(int ready_fd)
{
	struct bench b;
	struct script script = { .bench = &b, .first = expiry_start,
		.ready_fd = ready_fd };
	bool over;

	bench_init(&b);
	b.options.session_timeout_ms = 1000;
	loop_post_call(b.loop, script_start, &script);
	over = script_wait(&script, PATIENCE_MS);
	bench_fini(&b);
	return (over && script.good);
}

/* The client's process sleeps for longer than its session may last. */
static void
test_expiry(void)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK(pipe(ready) == 0);
	pid = fork();
	if (pid == 0)
		_exit(expiry_run(ready[1]) ? 0 : 1);
	close(ready[1]);
	CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	nap_ms(200);
	kill(pid, SIGSTOP);
	nap_ms(3000);
	kill(pid, SIGCONT);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- the saved session ---------------------------------------------------- */

static enum verdict
saved_check(struct task *task)
{
	struct scripted *s = task_state(task);

	if (!zk_batch_done(s->batch))
		return (STEP_WAIT);
	CU_ASSERT_EQUAL(s->op[0]->rc, s->script->dies ? ZK_OK
							      : ZK_NO_NODE);
	zk_batch_free(&s->batch);
	/* The first one dies here, without a word, when its file is there: a
	 * worker writes that beside all this. */
	if (s->script->dies) {
		for (int i = 0; i < 1000 && access(s->script->bench->
			session_file, F_OK) != 0; i++)
			nap_ms(20);
		kill(getpid(), SIGKILL);
	}
	return (task_next(task, step_close));
}

static enum verdict
saved_start(struct task *task)
{
	struct scripted *s = task_state(task);

	if (s->zk == NULL)
		s->zk = zk_open(s, true);
	if (!connected(task, 1))
		return (STEP_WAIT);
	s->batch = zk_batch_new(s->zk);
	if (s->script->dies)
		s->op[0] = zk_batch_create(s->batch, "/mine", SLICE_NULL,
		    ZK_EPHEMERAL);
	else
		s->op[0] = zk_batch_exists(s->batch, "/mine", NULL);
	zk_batch_submit(s->batch, task);
	return (task_next(task, saved_check));
}

static bool
saved_run(bool dies)
{
	struct bench b;
	struct script script = {
		.bench = &b, .first = saved_start, .dies = dies,
	};
	bool over;

	bench_init(&b);
	b.options.session_timeout_ms = 30000;
	loop_post_call(b.loop, script_start, &script);
	over = script_wait(&script, PATIENCE_MS);
	bench_fini(&b);
	return (over);
}

static void
test_saved_session(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		saved_run(true);
		_exit(1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CU_ASSERT_TRUE(saved_run(false));
}

/* --- main ----------------------------------------------------------------- */

static const struct unit_test tests[] = {
	{ "operations below a new chroot", test_operations },
	{ "a close with requests under way", test_cut_short },
	{ "watches", test_watches },
	{ "restart in a batch", test_restart },
	{ "more watches than a packet holds", test_many_watches },
	{ "a server that sleeps", test_sleep },
	{ "expiry", test_expiry },
	{ "saved session", test_saved_session },
};

int
main(void)
{
	int rc;

	if (access(JAR, R_OK) != 0 || access(ENVIRONMENT, R_OK) != 0 ||
	    system("java -version >/dev/null 2>&1") != 0) {
		fprintf(stderr, "no java or no zookeeper: skipped\n");
		return (77);
	}
	server_init(&the_server);
	rc = unit_main("zk_library", tests, nelems(tests));
	server_fini(&the_server);
	return (rc);
}
