/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules file, docs/man/baro-rules.5.scd: it switches and tunes rules, for all series or for those that
 * fit a glob, and adds rules of the user's own. Text in, a changed book out; whoever calls reads
 * the file.
 */
#ifndef BARO_RULE_FILE_H
#define BARO_RULE_FILE_H

#include "lib/analysis/rule_book.h"

enum { RULE_FILE_MAX_BYTES = 1 << 20 };

/* Told of what is no error but has no effect, or says one thing twice: "rules:12: ...". */
typedef void (*rule_file_note_fn)(const char *sentence, void *payload);

/**
 * Read a rules file into a book.
 *
 * name     of the file, for errors
 * text     n bytes; need not end with NUL
 * note     may be NULL
 * returns  0; BARO_EINVAL, BARO_ENOENT, BARO_ELIMIT with "NAME:LINE: what is wrong" for the first
 *          thing that is wrong; the book is then to be thrown away
 */
int rule_file_parse(const char *name, const char *text, size_t n, struct rule_book *book,
    rule_file_note_fn note, void *payload, struct baro_err *err);

/**
 * Read a rules file by its path: the defaults, changed by it.
 *
 * returns  NULL and err when it cannot be read or is wrong; the caller destroys it
 */
struct rule_book *rule_file_read(
    const char *path, rule_file_note_fn note, void *payload, struct baro_err *err);

#endif
