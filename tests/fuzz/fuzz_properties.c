/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a properties file, resolved and described. */
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = config_new();
	struct config_value value;

	(void)config_read(config, slice_of(data, size));
	(void)config_resolve(config);
	for (size_t i = 0; i < option_count(); i++)
		config_describe(config, option_at(i), &value);
	for (size_t i = 0; i < topic_option_count(); i++)
		config_describe_topic(config, NULL, topic_option_at(i), &value);
	config_free(&config);
	return (0);
}
