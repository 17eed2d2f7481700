/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barnabasd: arguments, the properties file, the real seams, signals, systemd.
 * The main thread does nothing but wait: for signals, for the broker to change
 * its state, for the time of the next sign of life.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "config.h"
#include "config/config.h"
#include "daemon/admin.h"
#include "daemon/broker.h"
#include "daemon/notify.h"
#include "metrics/metrics.h"
#include "net/net.h"
#include "net/socket.h"
#include "net/tls.h"
#include "security/secrets.h"
#include "storage/file.h"
#include "wire/wire.h"
#include "zkglue/driver.h"

#define PROPERTIES_BYTES_MAX ((size_t)1 << 20)

enum { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_USAGE = 2 };

/* --- arguments ------------------------------------------------------------ */

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: barnabasd [-t] [--override name=value]... FILE\n"
	    "       barnabasd -V\n"
	    "  -t                    check FILE, say what is wrong, and exit\n"
	    "  --override name=value take this value instead of the file's\n"
	    "  -V, --version         print the version\n");
}

struct arguments {
	int argc;
	char **argv;
	const char *path;
	bool check;
	bool version;
	bool help;
};

/* Value of "--override X" or "--override=X" at argv[*i]; NULL: another word. */
static const char *
argument_override(int argc, char **argv, int *i)
{
	static const char word[] = "--override";
	size_t length = sizeof(word) - 1;

	if (strncmp(argv[*i], word, length) != 0)
		return (NULL);
	if (argv[*i][length] == '=')
		return (argv[*i] + length + 1);
	if (argv[*i][length] != '\0' || *i + 1 >= argc)
		return (NULL);
	return (argv[++*i]);
}

/* All words; with a config, what stands there for it goes there. */
static bool
arguments_read(struct arguments *a, struct config *config)
{
	int argc = a->argc;
	char **argv = a->argv;

	for (int i = 1; i < argc; i++) {
		const char *assignment = argument_override(argc, argv, &i);

		if (assignment != NULL) {
			if (config != NULL &&
			    !config_override(config, assignment))
				return (false);
		} else if (strcmp(argv[i], "-t") == 0) {
			a->check = true;
		} else if (strcmp(argv[i], "-V") == 0 ||
		    strcmp(argv[i], "--version") == 0) {
			a->version = true;
		} else if (strcmp(argv[i], "-h") == 0 ||
		    strcmp(argv[i], "--help") == 0) {
			a->help = true;
		} else if (argv[i][0] != '-' &&
		    (a->path == NULL || a->path == argv[i])) {
			a->path = argv[i];
		} else {
			fprintf(stderr, "barnabasd: %s is not understood\n",
			    argv[i]);
			return (false);
		}
	}
	return (true);
}

/* --- the process ---------------------------------------------------------- */

struct process {
	struct arguments arguments;
	struct config *config;
	const struct broker_options *options;
	struct diag *diag;
	struct metrics *metrics;
	struct scheduler *scheduler;
	struct zk_driver *zk_driver;
	struct random random;
	struct broker *_Atomic broker; /* the admin thread looks at it */
	struct admin *admin;
	int signals;
	int changes; /* eventfd: the broker's state changed */
	bool told_ready;
	bool told_stopping;
	size_t log_files; /* half of the descriptors that we may have */
};

/* --- configuration -------------------------------------------------------- */

static bool
config_read_file(struct config *config, const char *path)
{
	void *bytes = NULL;
	size_t size = 0;
	bool good;

	if (file_load(files_system(), path, PROPERTIES_BYTES_MAX, &bytes,
		&size) != 0) {
		fprintf(stderr, "barnabasd: %s cannot be read: %s\n", path,
		    strerror(errno));
		return (false);
	}
	good = config_read(config, slice_of(bytes, size));
	mem_free(bytes);
	return (good);
}

static bool
config_check_secrets(const struct config *config)
{
	char error[PASSWORD_ERROR_SIZE];

	if (secrets_check(&config_options(config)->security, error))
		return (true);
	fprintf(stderr, "barnabasd: password.encoder: %s\n", error);
	return (false);
}

/* The file, then what stands on the command line. */
static struct config *
config_of_arguments(struct arguments *a, bool *good)
{
	struct config *config = config_new();

	*good = config_read_file(config, a->path) && arguments_read(a, config);
	*good = config_resolve(config) && *good;
	*good = config_check_secrets(config) && *good;
	return (config);
}

/* Findings go to standard error with -t and when the start is refused, else to
 * the log. */
static void
process_tell_findings(const struct process *p, bool to_log)
{
	for (size_t i = 0; i < config_finding_count(p->config); i++) {
		const struct finding *f = config_finding_at(p->config, i);
		enum diag_level level =
		    f->severity == FINDING_INFO ? DIAG_INFO : DIAG_WARN;

		if (to_log)
			DIAG_AT(p->diag, level, config, "%s: %s", f->subject,
			    f->message);
		else if (f->line > 0)
			fprintf(stderr, "%s line %d: %s: %s\n",
			    finding_severity_name(f->severity), f->line,
			    f->subject, f->message);
		else
			fprintf(stderr, "%s %s: %s\n",
			    finding_severity_name(f->severity), f->subject,
			    f->message);
	}
}

/* "INFO,net=DEBUG,zkglue=TRACE" */
static bool
process_set_levels(struct diag *diag, const char *text)
{
	struct slice rest = slice_of_text(text);
	struct slice item;
	bool good = true;

	/* What the text does not name, and what a client set before. */
	diag_set_root_level(diag, DIAG_INFO);
	for (int r = 0; r < DIAG_ROOM_COUNT; r++)
		diag_unset_level(diag, (enum diag_room)r);
	while (text_next(&rest, &item)) {
		struct slice value;
		struct slice name = text_trim(text_cut(item, '=', &value));
		char *room = mem_strndup((const char *)name.data, name.length);
		char *level = value.data == NULL ? NULL :
		    mem_strndup((const char *)text_trim(value).data,
			text_trim(value).length);
		enum diag_room at;
		enum diag_level to;

		if (level == NULL && diag_level_parse(room, &to))
			diag_set_root_level(diag, to);
		else if (level != NULL && diag_room_parse(room, &at) &&
		    diag_level_parse(level, &to))
			diag_set_level(diag, at, to);
		else
			good = false;
		mem_free(room);
		mem_free(level);
	}
	return (good);
}

static bool
process_open_log(struct process *p)
{
	const char *path = p->options->daemon.log_file;

	p->diag = diag_new(clock_system(), path[0] == '\0' ? NULL : path);
	if (p->diag == NULL) {
		fprintf(stderr, "barnabasd: barnabas.log.file=%s: %s\n", path,
		    strerror(errno));
		return (false);
	}
	if (!process_set_levels(p->diag, p->options->daemon.log_level)) {
		fprintf(stderr, "barnabasd: barnabas.log.level=%s: it "
		    "must read LEVEL,room=LEVEL,...\n",
		    p->options->daemon.log_level);
		return (false);
	}
	return (true);
}

/* --- the broker ----------------------------------------------------------- */

static void
process_changed(void *arg, enum broker_state state)
{
	struct process *p = arg;
	uint64_t one = 1;

	(void)state;
	if (write(p->changes, &one, sizeof(one)) < 0)
		return; /* full: the main thread will look anyway */
}

static void
process_progress(void *arg, const struct broker_progress *progress)
{
	(void)arg;
	notify_progress(progress);
}

static void
process_rooms_go(void *arg)
{
	struct process *p = arg;

	if (p->admin != NULL)
		admin_end_metrics(p->admin);
}

static bool
process_healthy(void *arg)
{
	struct broker *b = atomic_load(&((struct process *)arg)->broker);
	enum broker_state state = b == NULL ? BROKER_STARTING : broker_state(b);

	return (state != BROKER_STOPPED && state != BROKER_FAILED);
}

static bool
process_ready(void *arg)
{
	struct broker *b = atomic_load(&((struct process *)arg)->broker);

	return (b != NULL && broker_ready(b));
}

static const char *
process_api_name(int key)
{
	const struct api *api = api_by_key(key);

	return (api == NULL ? NULL : api->name);
}

/* As many descriptors as we may have; partitions want them. */
static void
process_raise_limits(struct process *p)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	/* The others are for connections. */
	p->log_files = (size_t)limit.rlim_cur / 2;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	p->log_files = (size_t)limit.rlim_cur / 2;
	diag_info(p->diag, daemon, "descriptors at most %llu",
	    (unsigned long long)limit.rlim_cur);
}

static bool
process_open_admin(struct process *p)
{
	if (p->options->daemon.admin_listener[0] == '\0')
		return (true);
	p->admin = admin_new(&(struct admin_setup){
	    .address = p->options->daemon.admin_listener,
	    .metrics = p->metrics,
	    .diag = p->diag,
	    .healthy = process_healthy,
	    .ready = process_ready,
	    .arg = p,
	});
	return (p->admin != NULL);
}

static void
process_start(struct process *p)
{
	int loops = p->options->daemon.loops;

	if (loops == 0)
		loops = (int)sysconf(_SC_NPROCESSORS_ONLN);
	p->scheduler = scheduler_new_threads(clock_system(),
	    p->options->daemon.background_threads, p->diag);
	p->zk_driver = zk_driver_library(p->diag);
	p->broker = broker_new(&(struct broker_setup){
	    .seams = {
		.clock = clock_system(),
		.random = &p->random,
		.sockets = sockets_system(),
		.files = files_system(),
		.zk_driver = p->zk_driver,
		.scheduler = p->scheduler,
		.diag = p->diag,
	    },
	    .config = p->config,
	    .metrics = p->metrics,
	    .loop_count = loops < 1 ? 1 : loops,
	    .log_files = p->log_files,
	    .changed = process_changed,
	    .progress = process_progress,
	    .rooms_go = process_rooms_go,
	    .arg = p,
	});
}

/* --- waiting -------------------------------------------------------------- */

/* The log file anew, the levels as the file has them now, and TLS's keys and
 * certificates as their files are now. */
static void
process_reload(struct process *p)
{
	struct config *config;
	bool good;

	if (!diag_reopen(p->diag))
		diag_error(p->diag, daemon, "barnabas.log.file=%s cannot be "
		    "opened anew: %s; the old one stays in use",
		    p->options->daemon.log_file, strerror(errno));
	config = config_of_arguments(&p->arguments, &good);
	if (!good)
		diag_error(p->diag, daemon, "file=%s is not good any more "
		    "(barnabasd -t tells why): the log levels stay",
		    p->arguments.path);
	else if (process_set_levels(p->diag,
		     config_options(config)->daemon.log_level))
		diag_info(p->diag, daemon, "barnabas.log.level=%s is read "
		    "again", config_options(config)->daemon.log_level);
	config_free(&config);
	broker_reload_tls(p->broker);
}

/* A signal came, or the broker ends by itself. */
static void
process_tell_stopping(struct process *p)
{
	if (p->told_stopping)
		return;
	p->told_stopping = true;
	notify_stopping();
}

static void
process_signal(struct process *p)
{
	struct signalfd_siginfo info;

	if (read(p->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		process_reload(p);
		return;
	}
	diag_info(p->diag, daemon, "signal %s: stopping",
	    info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
	process_tell_stopping(p);
	broker_stop(p->broker);
}

static void
process_look(struct process *p)
{
	uint64_t count;

	if (read(p->changes, &count, sizeof(count)) < 0)
		return;
	if (broker_state(p->broker) == BROKER_RUNNING && !p->told_ready) {
		p->told_ready = true;
		notify_ready();
	}
	if (broker_state(p->broker) == BROKER_STOPPING)
		process_tell_stopping(p);
}

static bool
process_over(const struct process *p)
{
	enum broker_state state = broker_state(p->broker);

	return (state == BROKER_STOPPED || state == BROKER_FAILED);
}

static void
process_wait(struct process *p)
{
	int64_t interval_ms = notify_interval_ms();
	struct pollfd fds[2] = {
		{ .fd = p->signals, .events = POLLIN },
		{ .fd = p->changes, .events = POLLIN },
	};

	if (interval_ms > 0)
		broker_ping(p->broker);
	while (!process_over(p)) {
		int ready = poll(fds, 2,
		    interval_ms > 0 ? (int)interval_ms : -1);

		if (ready > 0 && fds[0].revents != 0)
			process_signal(p);
		if (ready > 0 && fds[1].revents != 0)
			process_look(p);
		/* A loop that stands still is not told alive. */
		if (ready == 0 && broker_alive(p->broker)) {
			notify_alive();
			broker_ping(p->broker);
		}
	}
}

static void
process_free_broker(struct process *p)
{
	struct broker *b = atomic_exchange(&p->broker, NULL);

	broker_free(&b);
	p->zk_driver->ops->free(p->zk_driver);
	scheduler_free(p->scheduler);
}

static int
process_run(struct process *p)
{
	sigset_t set;
	int status = EXIT_BAD;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* A write beyond a limit on files is an error to handle, not an end. */
	signal(SIGXFSZ, SIG_IGN);
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	p->changes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(p->signals >= 0 && p->changes >= 0);
	diag_info(p->diag, daemon, "barnabasd %s starts", PACKAGE_VERSION);
	process_tell_findings(p, true);
	random_seed_system(&p->random);
	p->metrics = metrics_new();
	metrics_set_request_names(p->metrics, process_api_name);
	process_raise_limits(p);
	if (process_open_admin(p)) {
		process_start(p);
		process_wait(p);
		if (broker_state(p->broker) == BROKER_STOPPED)
			status = EXIT_GOOD;
		admin_free(&p->admin);
		process_free_broker(p);
	}
	metrics_free(p->metrics);
	close(p->signals);
	close(p->changes);
	return (status);
}

/* What the start would meet in files of keys and certificates. */
static bool
process_check_tls(const struct process *p)
{
	struct tls_report report;
	const bool good = net_tls_check(&p->options->net, &report);

	if (report.warning[0] != '\0')
		fprintf(stderr, "WARN %s\n", report.warning);
	if (!good)
		fprintf(stderr, "ERROR %s\n", report.error);
	return (good);
}

static bool
process_configure(struct process *p)
{
	bool good;

	p->config = config_of_arguments(&p->arguments, &good);
	p->options = config_options(p->config);
	if (!good || p->arguments.check)
		process_tell_findings(p, false);
	if (good && p->arguments.check)
		good = process_check_tls(p);
	return (good);
}

int
main(int argc, char **argv)
{
	struct process p = { .arguments = { argc, argv }, .signals = -1 };
	const struct arguments *a = &p.arguments;
	int status = EXIT_BAD;

	if (!arguments_read(&p.arguments, NULL)) {
		usage(stderr);
		return (EXIT_USAGE);
	}
	if (a->version || a->help) {
		if (a->help)
			usage(stdout);
		else
			printf("barnabasd %s\n", PACKAGE_VERSION);
		return (EXIT_GOOD);
	}
	if (a->path == NULL) {
		usage(stderr);
		return (EXIT_USAGE);
	}
	if (process_configure(&p))
		status = a->check ? EXIT_GOOD :
		    process_open_log(&p) ? process_run(&p) : EXIT_BAD;
	diag_free(p.diag);
	config_free(&p.config);
	return (status);
}
