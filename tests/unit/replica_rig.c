/* SPDX-License-Identifier: Apache-2.0 */
#include "replica_rig.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/topic.h"

/* --- stand-ins ------------------------------------------------------------ */

const struct topic_config *
configs_topic(struct configs *configs, const char *topic)
{
	void (*overtake)(void *arg) = configs->overtake;

	(void)topic;
	atomic_fetch_add(&configs->asked, 1);
	if (overtake == NULL)
		return (&configs->config);
	configs->before = configs->config;
	configs->options_before = configs->options;
	configs->before.options = &configs->options_before;
	configs->overtake = NULL;
	overtake(configs->overtake_arg);
	return (&configs->before);
}

void
topic_config_unref(const struct topic_config *config)
{
	(void)config;
}

static void
rig_settings(void *arg, const char *topic, struct log_settings *out)
{
	const struct replica_rig *rig = arg;
	const struct topic_options *options = &rig->configs.options;

	(void)topic;
	*out = (struct log_settings){
		.segment_bytes = options->segment_bytes,
		.segment_ms = options->segment_ms,
		.index_bytes = options->segment_index_bytes,
		.index_interval_bytes = options->index_interval_bytes,
		.retention_ms = -1,
		.retention_bytes = -1,
		.file_delete_delay_ms = options->file_delete_delay_ms,
		.flush_messages = options->flush_messages,
		.flush_ms = options->flush_ms,
	};
}

/* --- life ----------------------------------------------------------------- */

static void
rig_dir_failed(void *arg, struct log_dir *dir)
{
	struct replica_rig *rig = arg;

	if (rig->replicas != NULL)
		replicas_dir_failed(rig->replicas, dir);
}

static void
rig_open(struct replica_rig *rig)
{
	struct storage_setup setup = {
		.options = &rig->options->storage,
		.clock = scheduler_clock(rig->scheduler),
		.scheduler = rig->scheduler,
		.files = rig->files,
		.random = &rig->random,
		.broker_id = 1,
		.settings = rig_settings,
		.settings_arg = rig,
		.dir_failed = rig_dir_failed,
		.dir_failed_arg = rig,
	};
	struct replicas_setup replicas = {
		.options = &rig->options->replica,
		.broker_options = rig->options,
		.scheduler = rig->scheduler,
		.cluster = rig->cluster,
		.configs = &rig->configs,
		.workers = rig->workers,
		.loop = rig->loops[0],
		.broker_id = 1,
	};

	rig->metrics = metrics_new();
	setup.metrics = replicas.metrics = rig->metrics;
	rig->storage = storage_open(&setup);
	CHECK(rig->storage != NULL);
	CHECK(storage_set_identity(rig->storage, 1, "cluster",
	    &(struct storage_assigned){ RIG_TOPIC, RIG_LOST }, 1));
	CHECK(storage_load(rig->storage, NULL, NULL));
	replicas.storage = rig->storage;
	rig->replicas = replicas_new(&replicas);
}

static void
rig_stop(void *arg)
{
	replicas_stop(arg);
}

static void
rig_close(struct replica_rig *rig)
{
	/* Timers are their loop's. */
	if (rig->threads) {
		replica_rig_on(rig, 0, rig_stop, rig->replicas);
		while (!replicas_at_rest(rig->replicas))
			sched_yield();
	} else {
		replicas_stop(rig->replicas);
		replica_rig_pass(rig, 10);
	}
	replicas_free(&rig->replicas);
	storage_close(&rig->storage);
	metrics_free(rig->metrics);
}

void
replica_rig_restart(struct replica_rig *rig)
{
	rig_close(rig);
	rig_open(rig);
}

static void
rig_config(struct replica_rig *rig, const char *option)
{
	char dirs[160];

	(void)snprintf(dirs, sizeof(dirs), "log.dirs=%s%s%s", rig->directory,
	    rig->second[0] == '\0' ? "" : ",", rig->second);
	rig->config = config_new();
	CHECK(config_override(rig->config, "broker.id=1"));
	CHECK(config_override(rig->config, "zookeeper.connect=localhost"));
	CHECK(config_override(rig->config, dirs));
	if (option != NULL)
		CHECK(config_override(rig->config, option));
	CHECK(config_resolve(rig->config));
	rig->options = config_options(rig->config);
	topic_options_resolve(rig->options, NULL, &rig->configs.options);
	rig->configs.config.topic = (char *)(uintptr_t) "";
	rig->configs.config.options = &rig->configs.options;
}

static void
rig_begin(struct replica_rig *rig, bool threads, const char *option, bool two)
{
	struct cluster_setup cluster = {
		.loops = rig->loops,
		.loop_count = RIG_LOOPS,
		.cluster_id = "cluster",
		.broker_id = 1,
	};

	*rig = (struct replica_rig){ .threads = threads };
	(void)snprintf(rig->directory, sizeof(rig->directory),
	    "test_replica.XXXXXX");
	CHECK(mkdtemp(rig->directory) != NULL);
	if (two)
		(void)snprintf(rig->second, sizeof(rig->second), "%s-second",
		    rig->directory);
	rig_config(rig, option);
	clock_virtual_init(&rig->clock, RIG_WALL_MS);
	rig->scheduler = threads ?
	    scheduler_new_threads(clock_system(), 3, NULL) :
	    scheduler_new_replay(&rig->clock, 7);
	gate_init(&rig->gate);
	random_seed(&rig->random, 7);
	rig->files = files_faulty_new(files_system());
	rig->workers = work_queue_new(rig->scheduler, "workers", 3);
	for (int i = 0; i < RIG_LOOPS; i++)
		rig->loops[i] = loop_new(rig->scheduler, "loop");
	rig->cluster = cluster_new(&cluster);
	rig_open(rig);
	for (int i = 0; i < RIG_LOOPS; i++)
		loop_start(rig->loops[i]);
}

void
replica_rig_init(struct replica_rig *rig, bool threads, const char *option)
{
	rig_begin(rig, threads, option, false);
}

void
replica_rig_init_two(struct replica_rig *rig, bool threads)
{
	rig_begin(rig, threads, NULL, true);
}

static void
rig_remove(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[512];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path,
		    entry->d_name);
		if (unlink(name) != 0)
			rig_remove(name); /* two floors in all */
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)rmdir(path);
}

void
replica_rig_fini(struct replica_rig *rig)
{
	rig_close(rig);
	for (int i = 0; i < RIG_LOOPS; i++)
		loop_stop(rig->loops[i]);
	cluster_free(&rig->cluster);
	for (int i = 0; i < RIG_LOOPS; i++) {
		CU_ASSERT_EQUAL(loop_task_count(rig->loops[i]), 0);
		loop_free(rig->loops[i]);
	}
	work_queue_free(rig->workers);
	scheduler_free(rig->scheduler);
	files_faulty_free(rig->files);
	config_free(&rig->config);
	rig_remove(rig->directory);
	if (rig->second[0] != '\0')
		rig_remove(rig->second);
}

struct rig_call {
	struct replica_rig *rig;
	void (*call)(void *arg);
	void *arg;
	bool done;
};

static void
rig_call_run(void *arg)
{
	struct rig_call *call = arg;

	call->call(call->arg);
	call->done = true;
	if (call->rig->threads)
		gate_open(&call->rig->gate);
}

void
replica_rig_on(struct replica_rig *rig, int loop, void (*run)(void *arg),
    void *arg)
{
	struct rig_call call = { rig, run, arg, false };

	loop_post_call(rig->loops[loop], rig_call_run, &call);
	if (rig->threads)
		gate_await(&rig->gate);
	else
		CHECK(scheduler_run_while_not(rig->scheduler, &call.done,
		    INT64_MAX / 4));
}

/* Until done, or that much later. */
static bool
rig_await(struct replica_rig *rig, const bool *done, int64_t ms)
{
	int64_t limit_ns = rig->clock.now_ns + ms * NANOS_PER_MILLI;

	if (!scheduler_run_while_not(rig->scheduler, done,
		ms * NANOS_PER_MILLI))
		(void)scheduler_run_until(rig->scheduler, limit_ns);
	return (*done);
}

void
replica_rig_pass(struct replica_rig *rig, int64_t ms)
{
	scheduler_run_until(rig->scheduler,
	    rig->clock.now_ns + ms * NANOS_PER_MILLI);
}

/* --- orders --------------------------------------------------------------- */

struct rig_ordering {
	struct replica_rig *rig;
	struct rig_order *order;
	struct arena arena;
	struct leader_and_isr_request request;
	struct leader_and_isr_response response;
	struct leader_and_isr_request_topic_state topic;
	struct leader_and_isr_request_partition_state state;
	int32_t replicas[8];
	struct replicas_order *running;
	struct cluster_update *update;
	bool done;
};

static task_step rig_order_apply, rig_order_applied;

static void
rig_ordering_setup(struct task *task, void *arg)
{
	*(struct rig_ordering **)task_state(task) = arg;
}

static enum verdict
rig_order_apply(struct task *t)
{
	struct rig_ordering *o = *(struct rig_ordering **)task_state(t);

	wire_init(&message_leader_and_isr_response, &o->response);
	o->running = replicas_leader_and_isr(o->rig->replicas, &o->request,
	    o->order->version, 10, &o->arena, &o->response, task_ref(t));
	return (task_next(t, rig_order_applied));
}

static enum verdict
rig_order_applied(struct task *t)
{
	struct rig_ordering *o = *(struct rig_ordering **)task_state(t);

	if (!replicas_order_done(o->running))
		return (STEP_WAIT);
	replicas_order_free(&o->running);
	o->done = true;
	if (o->rig->threads)
		gate_open(&o->rig->gate);
	return (STEP_DONE);
}

static const struct task_class rig_order_class = {
	.name = "order",
	.state_size = sizeof(struct rig_ordering *),
};

static void
rig_order_begin(void *arg)
{
	struct rig_ordering *o = arg;

	task_start(o->rig->loops[0], &rig_order_class, rig_order_apply,
	    rig_ordering_setup, o);
}

static void
rig_order_fill(struct rig_ordering *o, struct rig_order *order)
{
	for (int i = 0; i < 8; i++)
		o->replicas[i] = i +
		    (order->first_replica == 0 ? 1 : order->first_replica);
	wire_init(&message_leader_and_isr_request, &o->request);
	o->request.controller_id = 2;
	o->request.controller_epoch = order->controller_epoch;
	o->request.broker_epoch = order->broker_epoch;
	o->state = (struct leader_and_isr_request_partition_state){
		.topic_name = slice_of_text(order->topic),
		.partition_index = order->partition,
		.leader = order->leader,
		.leader_epoch = order->epoch,
		.partition_epoch = order->partition_epoch,
		.replicas = o->replicas,
		.replicas_count = order->replica_count,
		.isr = o->replicas + order->isr_from,
		.isr_count = order->isr_count,
		.adding_replicas = &order->adding,
		.adding_replicas_count = order->adding != 0,
		.is_new = !order->old,
	};
	o->topic = (struct leader_and_isr_request_topic_state){
		.topic_name = slice_of_text(order->topic),
		.topic_id = order->topic_id,
		.partition_states = &o->state,
		.partition_states_count = 1,
	};
	if (order->version < 2) {
		o->request.ungrouped_partition_states = &o->state;
		o->request.ungrouped_partition_states_count = 1;
	} else {
		o->request.topic_states = &o->topic;
		o->request.topic_states_count = 1;
	}
}

static enum error
rig_order_error(const struct rig_ordering *o)
{
	const struct leader_and_isr_response *r = &o->response;

	if (r->error_code != ERR_NONE)
		return ((enum error)r->error_code);
	if (o->order->version < 5) {
		CU_ASSERT_EQUAL(r->topics_count, 0);
		CU_ASSERT_EQUAL_FATAL(r->partition_errors_count, 1);
		CU_ASSERT(slice_equal_text(r->partition_errors[0].topic_name,
		    o->order->topic));
		return ((enum error)r->partition_errors[0].error_code);
	}
	CU_ASSERT_EQUAL(r->partition_errors_count, 0);
	CU_ASSERT_EQUAL_FATAL(r->topics_count, 1);
	CU_ASSERT_EQUAL_FATAL(r->topics[0].partition_errors_count, 1);
	CU_ASSERT(uuid_equal(r->topics[0].topic_id, o->order->topic_id));
	CU_ASSERT_EQUAL(r->topics[0].partition_errors[0].partition_index,
	    o->order->partition);
	return ((enum error)r->topics[0].partition_errors[0].error_code);
}

enum error
replica_rig_order(struct replica_rig *rig, struct rig_order *order)
{
	struct rig_ordering o = { .rig = rig, .order = order };
	enum error error;

	order->topic = order->topic == NULL ? RIG_TOPIC : order->topic;
	order->leader = order->leader == 0 ? 1 : order->leader;
	if (order->replica_count == 0)
		order->replica_count = 1;
	if (order->isr_count == 0)
		order->isr_count = order->replica_count;
	if (order->controller_epoch == 0)
		order->controller_epoch = 1;
	if (order->broker_epoch == 0)
		order->broker_epoch = -1;
	if (order->version == 0)
		order->version = 7;
	arena_init(&o.arena, 0);
	rig_order_fill(&o, order);
	loop_post_call(rig->loops[0], rig_order_begin, &o);
	if (rig->threads)
		gate_await(&rig->gate);
	else
		CHECK(scheduler_run_while_not(rig->scheduler, &o.done,
		    INT64_MAX / 4));
	order->top = (enum error)o.response.error_code;
	error = rig_order_error(&o);
	arena_fini(&o.arena);
	return (error);
}

struct rig_imaging {
	struct replica_rig *rig;
	struct update_metadata_request request;
	struct cluster_update *update;
};

static void
rig_image_begin(void *arg)
{
	struct rig_imaging *i = arg;

	i->update = cluster_update(i->rig->cluster, &i->request,
	    (struct task_ref){ 0 });
}

static void
rig_nothing(void *arg)
{
	(void)arg;
}

void
replica_rig_image(struct replica_rig *rig, const char *topic, int32_t count,
    int32_t leader)
{
	replica_rig_image_of(rig, topic, UUID_ZERO, count, leader);
}

void
replica_rig_image_of(struct replica_rig *rig, const char *topic,
    struct uuid id, int32_t count, int32_t leader)
{
	struct rig_imaging imaging = { .rig = rig };
	static const char *const hosts[] = { "b1", "b2", "b3" };
	struct update_metadata_request_live_broker brokers[3];
	struct update_metadata_request_endpoint endpoints[3];
	struct update_metadata_request_topic_state state = {
		.topic_name = slice_of_text(topic),
		.topic_id = id,
	};
	int32_t replicas[] = { 1, 2, 3 };

	wire_init(&message_update_metadata_request, &imaging.request);
	memset(brokers, 0, sizeof(brokers));
	for (int32_t i = 0; i < 3; i++) {
		brokers[i].id = i + 1;
		brokers[i].rack = slice_of_text(rig->racks[i]);
		endpoints[i] = (struct update_metadata_request_endpoint){
			.port = 9092, .host = slice_of_text(hosts[i]),
			.listener = SLICE_LITERAL("PLAINTEXT"),
		};
		if (rig->controller != 0) {
			brokers[i].endpoints = &endpoints[i];
			brokers[i].endpoints_count = 1;
		}
	}
	if (rig->controller != 0)
		imaging.request.controller_id = rig->controller;
	state.partition_states = mem_zalloc(
	    (size_t)count * sizeof(*state.partition_states));
	state.partition_states_count = count;
	for (int32_t i = 0; i < count; i++) {
		state.partition_states[i].partition_index = i;
		state.partition_states[i].leader = leader;
		state.partition_states[i].leader_epoch = 5;
		state.partition_states[i].replicas = replicas;
		state.partition_states[i].replicas_count = 3;
		state.partition_states[i].isr = replicas;
		state.partition_states[i].isr_count = 3;
	}
	imaging.request.controller_epoch = 1;
	imaging.request.live_brokers = brokers;
	imaging.request.live_brokers_count = 3;
	imaging.request.topic_states = &state;
	imaging.request.topic_states_count = 1;
	replica_rig_on(rig, 0, rig_image_begin, &imaging);
	while (!cluster_update_done(imaging.update))
		for (int i = 0; i < RIG_LOOPS; i++)
			replica_rig_on(rig, i, rig_nothing, NULL);
	cluster_update_free(&imaging.update);
	mem_free(state.partition_states);
}

void
replica_rig_lead(struct replica_rig *rig, int32_t replica_count,
    int32_t isr_count)
{
	struct rig_order order = {
		.epoch = 5,
		.replica_count = replica_count,
		.isr_count = isr_count,
	};

	replica_rig_image(rig, RIG_TOPIC, 4, 1);
	CU_ASSERT_EQUAL_FATAL(replica_rig_order(rig, &order), ERR_NONE);
}

struct replica_view
rig_view(struct replica_rig *rig)
{
	struct replica *replica = replicas_find(rig->replicas,
	    SLICE_LITERAL(RIG_TOPIC), 0);
	struct replica_view view;

	CU_ASSERT_PTR_NOT_NULL_FATAL(replica);
	replica_view(replica, &view);
	replica_unref(replica);
	return (view);
}

/* --- produce -------------------------------------------------------------- */

void
rig_batch(struct buffer *out, int32_t count, size_t size)
{
	struct batch_builder builder;
	uint8_t *value = mem_zalloc(size + 1);

	batch_builder_init(&builder, 0, CODEC_NONE);
	for (int32_t i = 0; i < count; i++)
		batch_builder_add(&builder, RIG_WALL_MS + i, SLICE_NULL,
		    slice_of(value, size), NULL, 0);
	CU_ASSERT_EQUAL_FATAL(batch_builder_finish(&builder, out), ERR_NONE);
	batch_builder_fini(&builder);
	mem_free(value);
}

static void
rig_produce_done(struct produce *produce)
{
	struct rig_produce *p = produce->owner;

	CU_ASSERT_FALSE(p->done);
	p->done = true;
	if (p->rig->threads)
		gate_open(&p->rig->gate);
}

static void
rig_produce_appended(struct produce *produce)
{
	struct rig_produce *p = produce->owner;

	CU_ASSERT_FALSE(p->released || p->done);
	p->released = true;
	buffer_fini(&p->bytes); /* nobody may look at it from now on */
}

void
rig_produce_init(struct rig_produce *p, struct replica_rig *rig,
    int16_t acks)
{
	*p = (struct rig_produce){ .rig = rig };
	arena_init(&p->arena, 0);
	rig_batch(&p->bytes, 1, 10);
	p->part = (struct produce_part){ .topic = SLICE_LITERAL(RIG_TOPIC) };
	p->produce = (struct produce){
		.replicas = rig->replicas,
		.arena = &p->arena,
		.parts = &p->part,
		.part_count = 1,
		.acks = acks,
		.timeout_ms = 1000,
		.api_version = 9,
		.appended = rig_produce_appended,
		.done = rig_produce_done,
	};
}

static void
rig_produce_run(void *arg)
{
	struct rig_produce *p = arg;

	p->part.bytes = p->bytes.data;
	p->part.size = p->bytes.length;
	p->produce.owner = p;
	p->produce.loop = p->rig->loops[p->loop];
	produce_run(&p->produce);
	p->at_once = p->done;
}

void
rig_produce_start(struct rig_produce *p)
{
	replica_rig_on(p->rig, p->loop, rig_produce_run, p);
}

bool
rig_produce_await(struct rig_produce *p, int64_t ms)
{
	return (rig_await(p->rig, &p->done, ms));
}

void
rig_produce_fini(struct rig_produce *p)
{
	CU_ASSERT(p->done);
	buffer_fini(&p->bytes);
	arena_fini(&p->arena);
}

enum error
rig_produce_one(struct replica_rig *rig, int16_t acks, int32_t count,
    size_t size)
{
	struct rig_produce p;

	rig_produce_init(&p, rig, acks);
	p.bytes.length = 0;
	rig_batch(&p.bytes, count, size);
	rig_produce_start(&p);
	if (!p.done)
		CU_ASSERT(rig_produce_await(&p, 100000));
	rig_produce_fini(&p);
	return (p.part.error);
}

/* --- fetch ---------------------------------------------------------------- */

static void
rig_fetch_done(struct fetch *fetch)
{
	struct rig_fetch *f = fetch->owner;

	CU_ASSERT_FALSE(f->done);
	f->done = true;
}

void
rig_fetch_init(struct rig_fetch *f, struct replica_rig *rig, int64_t offset)
{
	*f = (struct rig_fetch){ .rig = rig };
	arena_init(&f->arena, 0);
	for (int32_t i = 0; i < 2; i++)
		f->parts[i] = (struct fetch_part){
			.topic = SLICE_LITERAL(RIG_TOPIC),
			.partition = i,
			.current_leader_epoch = -1,
			.last_fetched_epoch = -1,
			.fetch_offset = offset,
			.log_start_offset = -1,
			.max_bytes = 1 << 20,
		};
	f->fetch = (struct fetch){
		.replicas = rig->replicas,
		.arena = &f->arena,
		.parts = f->parts,
		.part_count = 1,
		.replica_id = -1,
		.replica_epoch = -1,
		.max_wait_ms = 500,
		.min_bytes = 1,
		.max_bytes = 50 << 20,
		.done = rig_fetch_done,
	};
}

static void
rig_fetch_run(void *arg)
{
	struct rig_fetch *f = arg;

	f->fetch.owner = f;
	f->fetch.loop = f->rig->loops[f->loop];
	fetch_run(&f->fetch);
	f->at_once = f->done;
}

void
rig_fetch_start(struct rig_fetch *f)
{
	f->done = f->at_once = false;
	replica_rig_on(f->rig, f->loop, rig_fetch_run, f);
}

bool
rig_fetch_await(struct rig_fetch *f, int64_t ms)
{
	return (rig_await(f->rig, &f->done, ms));
}

void
rig_fetch_again(struct rig_fetch *f)
{
	for (size_t i = 0; i < f->fetch.part_count; i++) {
		if (f->parts[i].extent.blob != NULL)
			blob_unref(f->parts[i].extent.blob);
		f->parts[i].extent = (struct extent){ 0 };
		f->parts[i].error = ERR_NONE;
	}
}

void
rig_fetch_fini(struct rig_fetch *f)
{
	CU_ASSERT(f->done);
	rig_fetch_again(f);
	arena_fini(&f->arena);
}

enum error
rig_follow(struct replica_rig *rig, int32_t follower, int64_t offset)
{
	struct rig_fetch f;

	rig_fetch_init(&f, rig, offset);
	f.fetch.replica_id = follower;
	f.fetch.max_wait_ms = 0;
	f.parts[0].log_start_offset = 0;
	rig_fetch_start(&f);
	CU_ASSERT(f.done);
	rig_fetch_fini(&f);
	return (f.parts[0].error);
}
