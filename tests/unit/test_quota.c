/* SPDX-License-Identifier: Apache-2.0 */
/* Rates over windows, and throttles of replication. */
#include "quota/throttle.h"
#include "unit.h"

/* Windows of one second, eleven of them, as Kafka's defaults. */
#define WINDOWS 11

static void
test_rate_first_window(void)
{
	struct rate rate;

	rate_init(&rate, WINDOWS, 1);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 5000), 0);
	rate_note(&rate, 500, 5000);
	/* A moment counts as a whole window. */
	CU_ASSERT_EQUAL(rate_per_second(&rate, 5000), 500);
	rate_note(&rate, 500, 5999);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 5999), 1000);
	CU_ASSERT_EQUAL(rate.made_count, 1);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 7000), 500);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 9000), 250);
	rate_fini(&rate);
}

static void
test_rate_goes_on(void)
{
	struct rate rate;

	rate_init(&rate, WINDOWS, 1);
	for (int64_t now = 0; now < 100000; now += 100)
		rate_note(&rate, 10, now);
	/* One window more than are counted: the oldest reaches in. */
	CU_ASSERT_EQUAL(rate.made_count, WINDOWS + 1);
	CU_ASSERT_DOUBLE_EQUAL(rate_per_second(&rate, 99900), 100, 1);
	/* As much again: seen as soon as it is noted. The oldest is out by now,
	 * with its time. */
	rate_note(&rate, 1100, 99950);
	CU_ASSERT_DOUBLE_EQUAL(rate_per_second(&rate, 99950), 200, 2);
	rate_fini(&rate);
}

static void
test_rate_forgets(void)
{
	struct rate rate;

	rate_init(&rate, 3, 2);
	rate_note(&rate, 600, 1000);
	rate_note(&rate, 300, 3000);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 4000), 300);
	/* The first saw nothing for as long as all of them last. */
	CU_ASSERT_DOUBLE_EQUAL(rate_per_second(&rate, 6999), 900 / 5.999, 0.01);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 7000), 75);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 9000), 0);
	/* What is empty counts with the time since it was found so. */
	rate_note(&rate, 400, 9500);
	CU_ASSERT_EQUAL(rate_per_second(&rate, 9500), 160);
	rate_fini(&rate);
}

static void
test_throttle(void)
{
	struct throttle throttle;

	throttle_init(&throttle, WINDOWS, 1, THROTTLE_NO_LIMIT);
	throttle_note(&throttle, INT64_C(1) << 40, 1000);
	CU_ASSERT_FALSE(throttle_exceeded(&throttle, 1000));
	throttle_set_limit(&throttle, 1000);
	CU_ASSERT_EQUAL(throttle_limit(&throttle), 1000);
	CU_ASSERT(throttle_exceeded(&throttle, 1000));
	CU_ASSERT_EQUAL(throttle_rate(&throttle, 3000), INT64_C(1) << 39);
	throttle_fini(&throttle);
	/* Just the limit is allowed. */
	throttle_init(&throttle, WINDOWS, 1, 1000);
	throttle_note(&throttle, 1000, 1000);
	CU_ASSERT_FALSE(throttle_exceeded(&throttle, 1000));
	throttle_note(&throttle, 1, 1000);
	CU_ASSERT(throttle_exceeded(&throttle, 1000));
	CU_ASSERT(throttle_exceeded(&throttle, 2000));
	CU_ASSERT_FALSE(throttle_exceeded(&throttle, 2001));
	throttle_fini(&throttle);
	/* No limit above zero: whatever went through stops the next. */
	throttle_init(&throttle, WINDOWS, 1, 0);
	CU_ASSERT_FALSE(throttle_exceeded(&throttle, 1000));
	throttle_note(&throttle, 1, 1000);
	CU_ASSERT(throttle_exceeded(&throttle, 11999));
	CU_ASSERT_FALSE(throttle_exceeded(&throttle, 12000));
	throttle_fini(&throttle);
}

static void
test_names(void)
{
	CU_ASSERT(throttle_names("*", 7, 1));
	CU_ASSERT(throttle_names(" * ", 7, 1));
	CU_ASSERT_FALSE(throttle_names("", 7, 1));
	CU_ASSERT(throttle_names("7:1", 7, 1));
	CU_ASSERT_FALSE(throttle_names("7:1", 1, 7));
	CU_ASSERT(throttle_names("0:1,7:2, 7:1", 7, 1));
	CU_ASSERT_FALSE(throttle_names("0:1,7:2,77:1,7:11", 7, 1));
	/* What Kafka or a later version may have let through. */
	CU_ASSERT_FALSE(throttle_names("7", 7, 1));
	CU_ASSERT_FALSE(throttle_names("7:", 7, 1));
	CU_ASSERT_FALSE(throttle_names(",:,", 7, 1));
	CU_ASSERT(throttle_names("nonsense,,7:1", 7, 1));
}

static const struct unit_test tests[] = {
	{ "rate: the first window", test_rate_first_window },
	{ "rate: many windows", test_rate_goes_on },
	{ "rate: windows that saw nothing", test_rate_forgets },
	{ "throttle: limits", test_throttle },
	{ "throttle: lists of replicas", test_names },
};

int
main(void)
{
	return (unit_main("quota", tests, nelems(tests)));
}
