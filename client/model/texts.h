/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that live as long as their owner, each kept once: names of runs, tensors, alerts. */
#ifndef CLIENT_MODEL_TEXTS_H
#define CLIENT_MODEL_TEXTS_H

struct texts;

/** Create an empty set of texts. */
struct texts *texts_create(void);

/** Free all texts; NULL is fine. */
void texts_destroy(struct texts *texts);

/** Keep a copy of a text and give it; the same pointer for the same text. NULL counts as "". */
const char *texts_keep(struct texts *texts, const char *text);

#endif
