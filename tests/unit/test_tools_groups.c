/* SPDX-License-Identifier: Apache-2.0 */
/* groups without a broker: what it makes of its options, of times and of files
 * with offsets. */
#include "tests/unit/tool_rig.h"
#include "tools/columns.h"
#include "tools/groups.h"

static void
test_options(void)
{
	static const struct {
		const char *options;
		const char *err;
	} cases[] = {
		{ "", "one thing to do" },
		{ "--list --describe --group g", "one thing to do" },
		{ "--list --group g", "--group goes with" },
		{ "--list --members", "--members goes with" },
		{ "--delete --group g --state", "--state goes with" },
		{ "--describe --group g --type", "--type goes with" },
		{ "--describe --group g --topic t", "--topic goes with" },
		{ "--describe", "of which group" },
		{ "--describe --group g --all-groups", "exclude each other" },
		{ "--describe --group g --state Stable", "takes no value" },
		{ "--describe --group g --members --offsets", "takes one of" },
		{ "--delete", "of which group" },
		{ "--delete-offsets --group g", "--topic" },
		{ "--delete-offsets --group g --group h --topic t",
		    "one --group" },
		{ "--reset-offsets --to-latest --all-topics",
		    "of which group" },
		{ "--reset-offsets --group g --all-topics", "one of" },
		{ "--reset-offsets --group g --all-topics --to-latest "
		  "--to-earliest", "one of" },
		{ "--reset-offsets --group g --to-latest", "--all-topics" },
		{ "--reset-offsets --group g --to-latest --topic t --execute "
		  "--dry-run", "exclude each other" },
		{ "--reset-offsets --group g --topic t --to-offset x",
		    "whole number" },
		{ "--reset-offsets --group g --topic t --to-datetime x",
		    "2024-08-20T15:47:54.073" },
		{ "--reset-offsets --group g --topic t --by-duration 5m",
		    "PT15M" },
		{ "--reset-offsets --dry-run --group g --from-file /nowhere/x",
		    "/nowhere/x" },
		{ "--list --timeout 0", "--timeout" },
		{ "--list --state Stable,asleep", "PreparingRebalance" },
		{ "--list --type share", "Classic" },
	};

	for (size_t i = 0; i < nelems(cases); i++) {
		char line[256];

		snprintf(line, sizeof(line),
		    "barnabas groups --bootstrap-server a:1 %s",
		    cases[i].options);
		expect(line, 1, cases[i].err);
	}
	expect("barnabas groups --list", TOOL_USAGE, "--bootstrap-server");
	expect("barnabas consume --bootstrap-server a:1 --topic t --group g "
	       "--partition 1",
	    TOOL_USAGE, "exclude each other");
	expect("barnabas consume --bootstrap-server a:1 --topic t --group g "
	       "--consumer-property group.id=h",
	    TOOL_USAGE, "name one");
	expect("barnabas perf consume --bootstrap-server a:1 --topic t "
	       "--messages 1 --group g --consumer-property group.id=h",
	    TOOL_USAGE, "name one");
}

/* --- times ---------------------------------------------------------------- */

/* `want` -1: refused. */
static void
datetime(const char *text, int64_t want)
{
	int64_t ms = -1;

	CU_ASSERT_EQUAL(datetime_parse(slice_of_text(text), &ms), want != -1);
	if (want != -1)
		CU_ASSERT_EQUAL(ms, want);
}

static void
test_datetime(void)
{
	datetime("1970-01-01T00:00:00.000", 0);
	datetime("2024-08-20T15:47:54.073", INT64_C(1724168874073));
	datetime("2024-08-20T15:47:54.073Z", INT64_C(1724168874073));
	datetime("2024-08-20T17:47:54.073+02:00", INT64_C(1724168874073));
	datetime("2024-08-20T13:17:54.073-02:30", INT64_C(1724168874073));
	datetime("2024-08-20T17:47:54.073+02", INT64_C(1724168874073));
	/* The last number counts milliseconds. */
	datetime("2024-02-29T00:00:00.5", INT64_C(1709164800005));
	datetime("2000-03-01T00:00:00.000", INT64_C(951868800000));
	datetime("1969-12-31T23:59:59.998", -2);
	datetime("2023-02-29T00:00:00.000", -1);
	datetime("2024-08-20 15:47:54.073", -1);
	datetime("2024-08-20T15:47:54", -1);
	datetime("2024-13-20T15:47:54.000", -1);
	datetime("2024-08-20T24:00:00.000", -1);
	datetime("2024-08-20T15:47:54.073+02:00x", -1);
	datetime("2024-08-20", -1);
	datetime("", -1);
}

static void
span(const char *text, bool good, int64_t want)
{
	int64_t ms = 0;

	CU_ASSERT_EQUAL(duration_parse(slice_of_text(text), &ms), good);
	if (good)
		CU_ASSERT_EQUAL(ms, want);
}

static void
test_duration(void)
{
	span("PT15M", true, 900000);
	span("P1D", true, 86400000);
	span("P1DT2H3M4.5S", true, 93784500);
	span("pt1s", true, 1000);
	span("-PT1S", true, -1000);
	span("PT-6H3M", true, -21420000);
	span("PT0.0019S", true, 1);
	span("", false, 0);
	span("P", false, 0);
	span("PT", false, 0);
	span("P1DT", false, 0);
	span("1D", false, 0);
	span("P1M", false, 0);
	span("PT1M2H", false, 0);
	span("P106751991168D", false, 0);
}

/* --- files ---------------------------------------------------------------- */

/* "group/topic-partition=offset;" of each row, or "!" and why. */
static void
plan(const char *text, const char *group, const char *want)
{
	struct buffer out = BUFFER_EMPTY;
	struct buffer why = BUFFER_EMPTY;
	struct arena arena;
	struct plan plan;

	arena_init(&arena, 1 << 20);
	if (!plan_parse(slice_of_text(text), group, &arena, &plan, &why))
		buffer_printf(&out, "!%s", buffer_text(&why));
	for (size_t i = 0; why.length == 0 && i < plan.count; i++)
		buffer_printf(&out, "%.*s/%.*s-%d=%lld;",
		    SLICE_ARGS(plan.rows[i].group),
		    SLICE_ARGS(plan.rows[i].at.topic),
		    plan.rows[i].at.partition,
		    (long long)plan.rows[i].at.offset);
	same_text(&out, want);
	buffer_fini(&why);
	plan_fini(&plan);
	arena_fini(&arena);
}

static void
test_plan(void)
{
	plan("t,0,7\nu,1,8\n", "g", "g/t-0=7;g/u-1=8;");
	plan("t,0,7\r\n\n", "g", "g/t-0=7;");
	plan("a,t,0,7\nb,t,1,8\n", "g", "a/t-0=7;b/t-1=8;");
	plan("a,t,0,7\n", NULL, "a/t-0=7;");
	plan("\"a,\"\"b\"\"\",\"t\",0,7\n", NULL, "a,\"b\"/t-0=7;");
	plan("", "g", "");
	plan("t,0,7\n", NULL,
	    "!line 1 is not \"group,topic,partition,offset\"");
	plan("t,0,7\na,t,0,7\n", "g",
	    "!line 2 is not \"topic,partition,offset\"");
	plan("t,x,7\n", "g", "!line 1 is not \"topic,partition,offset\"");
	plan("t,0\n", "g", "!line 1 is not \"group,topic,partition,offset\"");
	plan("\"t,0,7\n", "g",
	    "!line 1 is not \"group,topic,partition,offset\"");
	plan("\"t\"x,0,7\n", "g",
	    "!line 1 is not \"group,topic,partition,offset\"");
	plan("t,-1,7\n", "g", "!line 1 is not \"topic,partition,offset\"");
	plan("a,b,c,0,7\n", "g",
	    "!line 1 is not \"group,topic,partition,offset\"");
}

static void
test_plan_put(void)
{
	const struct group_offset at = { SLICE_LITERAL("t"), 3, 44 };
	struct buffer out = BUFFER_EMPTY;

	plan_put(SLICE_NULL, &at, &out);
	plan_put(SLICE_LITERAL("g-1"), &at, &out);
	plan_put(SLICE_LITERAL("say \"a\""), &at, &out);
	plan_put(SLICE_LITERAL("exactly-twenty-four-here"), &at, &out);
	plan_put(SLICE_LITERAL("exactly-twenty-five--here"), &at, &out);
	same_text(&out,
	    "t,3,44\n"
	    "g-1,t,3,44\n"
	    "\"say \"\"a\"\"\",t,3,44\n"
	    "exactly-twenty-four-here,t,3,44\n"
	    "\"exactly-twenty-five--here\",t,3,44\n");
}

/* --- columns and lists ---------------------------------------------------- */

static void
test_columns(void)
{
	struct buffer out = BUFFER_EMPTY;

	column_put(&out, SLICE_LITERAL("ab"), 4);
	column_put(&out, SLICE_LITERAL("\xc3\xa4"), 2);
	column_put_int(&out, -7, 4);
	column_put(&out, SLICE_LITERAL("\xf0\x9f\x90\x9d"), 3);
	column_put(&out, SLICE_LITERAL("long"), 2);
	same_text(&out, "ab  \xc3\xa4 -7  \xf0\x9f\x90\x9d long");
	CU_ASSERT_EQUAL(column_widest(3, SLICE_LITERAL("ab")), 3);
	CU_ASSERT_EQUAL(column_widest(1, SLICE_LITERAL("ab")), 2);
}

static void
test_offsets(void)
{
	struct group_offsets offsets = { 0 };

	for (int32_t i = 20; i > 0; i--)
		group_offsets_add(&offsets, SLICE_LITERAL("t"), i % 10, i);
	group_offsets_add(&offsets, SLICE_LITERAL("a"), 5, 99);
	group_offsets_sort(&offsets);
	CU_ASSERT_EQUAL(offsets.count, 11);
	CU_ASSERT_EQUAL(group_offsets_same_topic(&offsets, 0), 1);
	CU_ASSERT_EQUAL(group_offsets_same_topic(&offsets, 1), 10);
	CU_ASSERT_EQUAL(
	    group_offsets_find(&offsets, SLICE_LITERAL("a"), 5)->offset, 99);
	CU_ASSERT_PTR_NULL(
	    group_offsets_find(&offsets, SLICE_LITERAL("t"), 10));
	group_offsets_fini(&offsets);
	CU_ASSERT_PTR_NULL(
	    group_offsets_find(&offsets, SLICE_LITERAL("t"), 1));
}

static const struct unit_test tests[] = {
	{ "options of groups", test_options },
	{ "dates", test_datetime },
	{ "spans of time", test_duration },
	{ "files with offsets", test_plan },
	{ "lines of offsets", test_plan_put },
	{ "columns", test_columns },
	{ "lists of offsets", test_offsets },
};

int
main(void)
{
	return (unit_main("tools_groups", tests, nelems(tests)));
}
