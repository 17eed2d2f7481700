/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader epochs of one log and where each began, ascending in both
 * (KIP-101). Plain data: the log guards it, and writes the file before it lets
 * a batch of a new epoch in, so that the file never lacks one.
 */
#ifndef STORAGE_EPOCHS_H
#define STORAGE_EPOCHS_H

#include "base/buffer.h"
#include "storage/storage.h"

struct epoch_entry {
	int32_t epoch;
	int64_t start_offset;
};
struct epochs {
	struct epoch_entry *items;
	size_t count;
	size_t capacity;
};

void epochs_fini(struct epochs *epochs);
void epochs_copy(struct epochs *to, const struct epochs *from);
/* Whether a batch of this epoch at this offset needs an entry. */
bool epochs_lacks(const struct epochs *epochs, int32_t epoch,
    int64_t start_offset);
/* Adds; entries that are not below it go. */
void epochs_assign(struct epochs *epochs, int32_t epoch, int64_t start_offset);
/* Entries that start at end_offset or behind go. True: something changed. */
bool epochs_cut_end(struct epochs *epochs, int64_t end_offset);
/* The log begins at start_offset now. True: something changed. */
bool epochs_cut_start(struct epochs *epochs, int64_t start_offset);
struct log_epoch_end epochs_end_of(const struct epochs *epochs, int32_t epoch,
    int64_t end_offset);
int32_t epochs_of_offset(const struct epochs *epochs, int64_t offset);
/* -1: none. */
int32_t epochs_latest(const struct epochs *epochs);
/* leader-epoch-checkpoint. */
void epochs_encode(const struct epochs *epochs, struct buffer *out);
bool epochs_decode(struct epochs *epochs, struct slice text);

#endif
