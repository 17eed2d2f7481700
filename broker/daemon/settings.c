/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings.h"

#include "config/config.h"
#include "storage/storage.h"

void
settings_of_topic(const struct topic_options *options,
    struct log_settings *out)
{
	/* What is compacted only is not deleted by age or size. */
	const bool deletes = (options->cleanup & CLEANUP_DELETE) != 0;

	*out = (struct log_settings){
		.segment_bytes = options->segment_bytes,
		.segment_ms = options->segment_ms,
		.segment_jitter_ms = options->segment_jitter_ms,
		.index_bytes = options->segment_index_bytes,
		.index_interval_bytes = options->index_interval_bytes,
		.retention_ms = deletes ? options->retention_ms : -1,
		.retention_bytes = deletes ? options->retention_bytes : -1,
		.file_delete_delay_ms = options->file_delete_delay_ms,
		.flush_messages = options->flush_messages,
		.flush_ms = options->flush_ms,
		.preallocate = options->preallocate,
	};
}
