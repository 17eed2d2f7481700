/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings.h"

#include "config/config.h"
#include "storage/storage.h"

void
settings_of_topic(const struct topic_options *options,
    struct log_settings *out)
{
	*out = (struct log_settings){
		.segment_bytes = options->segment_bytes,
		.segment_ms = options->segment_ms,
		.segment_jitter_ms = options->segment_jitter_ms,
		.index_bytes = options->segment_index_bytes,
		.index_interval_bytes = options->index_interval_bytes,
		.retention_ms = options->retention_ms,
		.retention_bytes = options->retention_bytes,
		.file_delete_delay_ms = options->file_delete_delay_ms,
		.flush_messages = options->flush_messages,
		.flush_ms = options->flush_ms,
		.preallocate = options->preallocate,
	};
}
