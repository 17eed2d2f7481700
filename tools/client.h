/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client for commands: questions to brokers, one at a time, waited for.
 *
 * Life: client_new() knows the bootstrap servers only; the first question finds
 * one that answers, asks which versions it speaks and remembers; metadata
 * answers bring the other brokers and the controller.  Connections are net's
 * peers on a loop of the client's own; the caller's thread posts a question
 * there and sleeps until it has ended.  What answers hold lives until
 * client_free().
 *
 *	caller: client_ask() --post--> loop: connect, ApiVersions?, ask
 *	             ^---------- woken: the answer, or why not --+
 */
#ifndef TOOLS_CLIENT_H
#define TOOLS_CLIENT_H

#include "base/loop.h"
#include "wire/wire.h"

struct args;
struct client;
struct config_map;
struct diag;
struct sockets;
struct tls;
struct tool;

struct client_setup {
	const char *bootstrap; /* host:port,... */
	const char *client_id;
	int64_t request_timeout_ms;
	int64_t deadline_ms; /* of one question with all its repetitions */
	int64_t backoff_ms;
	/* Spoken to every broker; the client takes it over, client_new() in any
	 * case. NULL: plaintext. */
	struct tls *tls;
	/* Replay; NULL: threads and sockets of its own. */
	struct scheduler *scheduler;
	struct sockets *sockets;
	/* Told when a long wait begins and while it lasts; may be NULL. */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
};

enum client_status {
	CLIENT_OK,
	CLIENT_UNREACHABLE, /* no answer; it may have been carried out */
	CLIENT_UNSUPPORTED  /* the broker lacks the API, or all common versions
			     * lack what the request holds */
};

/* NULL: *why says what is wrong with the setup. */
struct client *client_new(const struct client_setup *setup,
    struct buffer *why);
void client_free(struct client **client);

/* Any broker; asked again, of the next one, until the deadline. */
enum client_status client_ask(struct client *client, int api_key,
    const void *request, void *response);
/* The controller, wherever it is by now.  Where the answer says NOT_CONTROLLER
 * each API knows: the caller asks again after client_pause(). */
enum client_status client_ask_controller(struct client *client, int api_key,
    const void *request, void *response);
/* The broker with this id, as the last metadata answer told of it; once. */
enum client_status client_ask_node(struct client *client, int32_t id,
    int api_key, const void *request, void *response);
/* All topics; the brokers are remembered. */
enum client_status client_metadata(struct client *client,
    struct metadata_response *response);

/* The same without the topics. */
enum client_status client_brokers(struct client *client,
    struct metadata_response *response);

/* Before the first question: no span is longer, no answer waited for longer. */
void client_limit(struct client *client, int64_t ms);
/* Begins a span of setup.deadline_ms; each of the calls above does, too, unless
 * one is under way. */
void client_begin(struct client *client);
/* The same with a length of its own, while no other span is under way; no
 * answer in it is waited for longer than answer_ms. Both are positive. */
void client_begin_within(struct client *client, int64_t ms,
    int64_t answer_ms);
void client_end(struct client *client);
/* Waits for the back-off; false: the span is over. */
bool client_pause(struct client *client);
/* Waits so long, or until the span is over. */
void client_wait(struct client *client, int64_t ms);
/* client_pause(); the user is told once why it takes long. */
bool client_try_again(struct client *client, const char *why);
/* For a request's own timeout: the broker answers it before we give up. */
int32_t client_timeout_ms(const struct client *client);
/* Why the last question was not answered. */
const char *client_why(const struct client *client);
/* The last question was sent more than once. */
bool client_repeated(const struct client *client);
/* Memory that lives as long as the answers. */
struct arena *client_arena(struct client *client);

/* From --bootstrap-server and --command-config; *status is the exit status when
 * the answer is NULL: then it has been said. */
struct client *client_of_args(struct tool *tool, const struct args *args,
    int *status);
/* The same with the bootstrap servers from elsewhere; NULL: none are named. */
struct client *client_of_bootstrap(struct tool *tool, const struct args *args,
    const char *bootstrap, int *status);
/* The same, with the file with the client's options, NULL: none. */
struct client *client_of_file(struct tool *tool, const char *bootstrap,
    const char *path, int *status);
/* Reads the file's options into the map. False: said. */
bool client_read_properties(const struct tool *tool, const char *path,
    struct config_map *map);

#define ARGS_CLIENT                                                           \
	{ "bootstrap-server", ARG_TEXT, "host:port,...", NULL,                \
	    "Brokers to begin with." },                                       \
	{                                                                     \
		"command-config", ARG_TEXT, "file", NULL,                     \
		    "A properties file with options of the client."           \
	}

#endif
