/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubly linked lists whose links live inside the elements.  An element that is
 * in no list points at itself, so list_linked() can be asked at any time after
 * list_init().
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void
list_init(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool
list_linked(const struct list *element)
{
	return (element->next != element);
}

static inline bool
list_empty(const struct list *head)
{
	return (head->next == head);
}

static inline void
list_insert_before(struct list *place, struct list *element)
{
	element->prev = place->prev;
	element->next = place;
	place->prev->next = element;
	place->prev = element;
}

static inline void
list_push_tail(struct list *head, struct list *element)
{
	list_insert_before(head, element);
}

static inline void
list_push_head(struct list *head, struct list *element)
{
	list_insert_before(head->next, element);
}

static inline void
list_remove(struct list *element)
{
	element->prev->next = element->next;
	element->next->prev = element->prev;
	list_init(element);
}

static inline struct list *
list_pop_head(struct list *head)
{
	struct list *element = head->next;

	if (element == head)
		return (NULL);
	list_remove(element);
	return (element);
}

/* Everything of `from` goes to the tail of `to`; `from` is empty after. */
static inline void
list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(element, type, member) container_of(element, type, member)

/* `element` is a struct list *; the body may remove it, but no other. */
#define LIST_EACH(element, head)                                             \
	for (struct list *element = (head)->next, *element##_next =          \
		 element->next;                                              \
	     element != (head);                                              \
	     element = element##_next, element##_next = element->next)

#endif
