/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/tool.h"

int
main(int argc, char *argv[])
{
	struct tool tool = {
		.in = stdin,
		.out = stdout,
		.err = stderr,
	};

	return (tool_main(&tool, argc, argv));
}
