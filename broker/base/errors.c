/* SPDX-License-Identifier: Apache-2.0 */
#include "base/errors.h"

const char *
error_name(int code)
{
	switch (code) {
#define ERROR(name, number, retriable)                                        \
	case number:                                                          \
		return (#name);
#include "base/errors.def"
#undef ERROR
	default:
		return ("UNKNOWN");
	}
}

bool
error_retriable(int code)
{
	switch (code) {
#define ERROR(name, number, retriable)                                        \
	case number:                                                          \
		return (retriable);
#include "base/errors.def"
#undef ERROR
	default:
		return (false);
	}
}
