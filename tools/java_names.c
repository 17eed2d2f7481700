/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "base/check.h"
#include "base/errors.h"
#include "tools/java_names.h"

/* Where the class is not named as the code is. */
static const struct {
	int code;
	const char *name;
} odd[] = {
	{ ERR_UNKNOWN_SERVER_ERROR, "UnknownServerException" },
	{ ERR_CORRUPT_MESSAGE, "CorruptRecordException" },
	{ ERR_REQUEST_TIMED_OUT, "TimeoutException" },
	{ ERR_MESSAGE_TOO_LARGE, "RecordTooLargeException" },
	{ ERR_STALE_CONTROLLER_EPOCH, "ControllerMovedException" },
	{ ERR_TOPIC_AUTHORIZATION_FAILED, "TopicAuthorizationException" },
	{ ERR_GROUP_AUTHORIZATION_FAILED, "GroupAuthorizationException" },
	{ ERR_CLUSTER_AUTHORIZATION_FAILED, "ClusterAuthorizationException" },
	{ ERR_TOPIC_ALREADY_EXISTS, "TopicExistsException" },
	{ ERR_INVALID_CONFIG, "InvalidConfigurationException" },
	{ ERR_NON_EMPTY_GROUP, "GroupNotEmptyException" },
	{ ERR_KAFKA_STORAGE_ERROR, "KafkaStorageException" },
};

static void
put_camel(const char *name, struct buffer *out)
{
	bool upper = true;

	for (; *name != '\0'; name++) {
		const char letter = upper
		    ? *name
		    : (char)tolower((unsigned char)*name);

		upper = *name == '_';
		if (!upper)
			buffer_append(out, &letter, 1);
	}
}

void
error_java_class(int code, struct buffer *out)
{
	static const char ending[] = "Exception";
	const char *name = error_name(code);
	const size_t length = strlen(name);

	buffer_append_text(out, "org.apache.kafka.common.errors.");
	for (size_t i = 0; i < nelems(odd); i++)
		if (odd[i].code == code) {
			buffer_append_text(out, odd[i].name);
			return;
		}
	put_camel(name, out);
	/* INVALID_TOPIC_EXCEPTION has it. */
	if (length < strlen("_EXCEPTION") ||
	    strcmp(name + length - strlen("_EXCEPTION"), "_EXCEPTION") != 0)
		buffer_append_text(out, ending);
}
