/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What brokers of a house let be read, kept to hold it against them: one
 * partition's records below the highest high watermark that any of its replicas
 * ever had.  They are for good:
 *
 *	each member of the ISR, as ZooKeeper has it, dead or alive, has all of
 *	them, so that no high watermark is above what all of these have;
 *	no replica has another record in the place of one that lies below its
 *	own high watermark;
 *	the high watermark of who leads never goes back.
 *
 *	struct ledger *l = ledger_new(house, "t0", 4096);
 *	ledger_look(l);        at any step: what is wrong is a fault
 *	ledger_free(&l);
 *
 * Not for partitions that lose records by right (unclean elections, retention).
 * Values are numbers, as house_produce() writes them, all in one segment.
 */
#ifndef TESTS_REPLAY_LEDGER_H
#define TESTS_REPLAY_LEDGER_H

#include "tests/replay/house.h"

struct ledger;

/* Of its partition 0; so many records at most. */
struct ledger *ledger_new(struct house *house, const char *topic,
    size_t records_max);
void ledger_free(struct ledger **ledger);
void ledger_look(struct ledger *ledger);
/* How many records are for good. */
int64_t ledger_known(const struct ledger *ledger);

#endif
