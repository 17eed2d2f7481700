/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pass over a log knows of its transactions, from its start on:
 *
 *	data of one that was aborted    goes at once
 *	its marker                      stays while data was met in this pass,
 *	                                and keeps its entry in the .txnindex
 *	a marker of commit              likewise
 *	a marker without data           may go, when its delete horizon is over
 *
 * Which ones were aborted is known beforehand, from the .txnindex files: all
 * that is compacted lies before the first undecided transaction.
 *
 * Source: CleanedTransactionMetadata of Kafka 3.9.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "storage/clean_int.h"

struct open_txn {
	struct hash_node node; /* by producer id */
	int64_t producer_id;
	struct producers_ended aborted;
	bool seen; /* data of it, in this pass */
};

static struct open_txn *
txn_find(const struct hash *table, int64_t producer_id)
{
	return ((struct open_txn *)(void *)hash_find(table, &producer_id,
	    sizeof(producer_id)));
}

static struct open_txn *
txn_add(struct hash *table, int64_t producer_id)
{
	struct open_txn *txn = mem_zalloc(sizeof(*txn));

	txn->producer_id = producer_id;
	hash_insert(table, &txn->node, &txn->producer_id,
	    sizeof(txn->producer_id));
	return (txn);
}

static void
txn_drop(struct hash *table, struct open_txn *txn)
{
	hash_remove(table, &txn->node);
	mem_free(txn);
}

static void
table_free(struct hash *table)
{
	HASH_EACH(node, table)
		txn_drop(table, (struct open_txn *)(void *)node);
	hash_clear(table);
}

void
clean_txns_fini(struct clean_txns *txns)
{
	table_free(&txns->committed);
	table_free(&txns->aborted);
	mem_free(txns->entries);
	*txns = (struct clean_txns){ 0 };
}

static int
entry_order(const void *a, const void *b)
{
	const struct producers_ended *left = a;
	const struct producers_ended *right = b;

	return ((left->first_offset > right->first_offset) -
	    (left->first_offset < right->first_offset));
}

bool
clean_txns_load(struct clean_txns *txns, const struct segment_list *list,
    int64_t from, int64_t upper)
{
	struct buffer bytes = BUFFER_EMPTY;
	bool good = true;
	bool complete = false;
	size_t count;

	clean_txns_fini(txns);
	/* An entry lies where its marker lies. */
	for (size_t i = segment_list_find(list, from);
	     good && !complete && i < list->count; i++) {
		size_t before = bytes.length;

		good = aborted_read(list->items[i], &bytes);
		if (good && bytes.length > before)
			complete = aborted_entry(&bytes,
			    aborted_count(&bytes) - 1).stable_offset >= upper;
	}
	count = aborted_count(&bytes);
	txns->entries = mem_alloc((count + 1) * sizeof(*txns->entries));
	for (size_t i = 0; good && i < count; i++) {
		struct producers_ended entry = aborted_entry(&bytes, i);

		if (entry.first_offset < upper && entry.last_offset >= from)
			txns->entries[txns->count++] = entry;
	}
	if (txns->count > 0)
		qsort(txns->entries, txns->count, sizeof(*txns->entries),
		    entry_order);
	buffer_fini(&bytes);
	return (good);
}

/* Those that began by now. */
static void
txns_begin(struct clean_txns *txns, int64_t offset)
{
	for (; txns->next < txns->count &&
	     txns->entries[txns->next].first_offset <= offset; txns->next++) {
		const struct producers_ended *entry =
		    &txns->entries[txns->next];

		if (txn_find(&txns->aborted, entry->producer_id) == NULL)
			txn_add(&txns->aborted, entry->producer_id)->aborted =
			    *entry;
	}
}

bool
clean_txns_data(struct clean_txns *txns, const struct batch *batch)
{
	struct open_txn *txn;

	txns_begin(txns, batch->last_offset);
	if ((batch->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
		return (false);
	txn = txn_find(&txns->aborted, batch->producer_id);
	if (txn != NULL) {
		txn->seen = true;
		return (true);
	}
	if (txn_find(&txns->committed, batch->producer_id) == NULL)
		txn_add(&txns->committed, batch->producer_id);
	return (false);
}

bool
clean_txns_marker(struct clean_txns *txns, const struct batch *batch,
    struct buffer *index)
{
	enum batch_marker marker = batch_marker(batch);
	struct open_txn *txn;
	bool seen;

	txns_begin(txns, batch->last_offset);
	switch (marker) {
	case BATCH_MARKER_EMPTY:
		return (true);
	case BATCH_MARKER_OTHER:
		return (false);
	case BATCH_MARKER_COMMIT:
		txn = txn_find(&txns->committed, batch->producer_id);
		seen = txn != NULL;
		if (seen)
			txn_drop(&txns->committed, txn);
		return (!seen);
	case BATCH_MARKER_ABORT:
		break;
	}
	txn = txn_find(&txns->aborted, batch->producer_id);
	if (txn == NULL)
		return (true);
	seen = txn->seen;
	if (seen && index != NULL)
		aborted_add(index, &txn->aborted);
	txn_drop(&txns->aborted, txn);
	return (!seen);
}
