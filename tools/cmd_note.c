/* SPDX-License-Identifier: Apache-2.0 */
/* baro note: write, list and remove notes on moments of a run. */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "tools/ask.h"
#include "tools/cli.h"
#include "tools/json.h"
#include "tools/notes.h"
#include "tools/runs.h"

enum { NOTE_TEXT_BYTES = 1000 };

const Baro__NotesReply *notes_ask(struct cli *cli, uint32_t run, Baro__Note *add,
    uint64_t remove, struct link_message *out_reply)
{
    Baro__NoteRequest body = BARO__NOTE_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    body.run = run;
    body.add = add;
    body.remove = remove;
    request.body_case = BARO__ENVELOPE__BODY_NOTE_REQUEST;
    request.note_request = &body;
    const struct ask question = {
        .request = &request, .wanted = BARO__ENVELOPE__BODY_NOTES_REPLY, .what = "notes"};
    return ask_for(cli, &question, out_reply) == CLI_OK
               ? out_reply->wire.envelope->notes_reply
               : NULL;
}

json_t *note_to_json(const Baro__Note *note)
{
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "id", (json_int_t)note->id, "step",
        (json_int_t)note->step, "time_ns", (json_int_t)note->time_ns, "author",
        json_text_or_null(note->author), "text", json_text_or_null(note->text));
}

/* The name of who writes; "" when the system does not know. */
static const char *own_name(void)
{
    const struct passwd *entry = getpwuid(geteuid());
    return entry != NULL && entry->pw_name != NULL ? entry->pw_name : "";
}

/* The words of the command line behind the run, as one text; NULL: there are none. */
static char *join_words(const struct cli *cli)
{
    size_t n_bytes = 1;
    for (int i = 1; i < cli->n_arguments; i++) {
        n_bytes += strlen(cli->arguments[i]) + 1;
    }
    char *text = baro_xcalloc(n_bytes, 1);
    for (int i = 1; i < cli->n_arguments; i++) {
        (void)strcat(text, i > 1 ? " " : "");
        (void)strcat(text, cli->arguments[i]);
    }
    return text;
}

static int check(const struct cli *cli, const char *text)
{
    bool is_removing = cli->values.remove != INT64_MIN;
    if (is_removing && (text[0] != '\0' || cli->values.step != INT64_MIN)) {
        return cli_misuse("--remove takes the number of a note, and nothing else");
    }
    if (is_removing && cli->values.remove < 1) {
        return cli_misuse("--remove takes the number of a note, from 1");
    }
    if (strlen(text) > NOTE_TEXT_BYTES) {
        return cli_misuse(
            "a note has at most %d bytes, not %zu", NOTE_TEXT_BYTES, strlen(text));
    }
    if (!baro_utf8_valid(text, strlen(text))) {
        return cli_misuse("the note is not UTF-8");
    }
    return CLI_OK;
}

static void print_list(const struct cli *cli, const Baro__NotesReply *reply)
{
    static const struct table_column columns[] = {
        {"ID", true, TABLE_WHOLE},
        {"STEP", true, TABLE_WHOLE},
        {"WRITTEN", false, TABLE_WHOLE},
        {"BY", false, TABLE_CUT_MIDDLE},
        {"NOTE", false, TABLE_CUT_END},
    };
    struct table *table = table_create(&cli->out, columns, BARO_LEN(columns));
    for (size_t i = 0; i < reply->n_notes; i++) {
        const Baro__Note *note = reply->notes[i];
        char when[32] = "";
        time_t seconds = (time_t)(note->time_ns / 1000000000);
        struct tm parts;
        if (localtime_r(&seconds, &parts) != NULL) {
            (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M", &parts);
        }
        table_cell(table, TERM_DIM, "%" PRIu64, note->id);
        table_cell(table, TERM_PLAIN, "%" PRId64, note->step);
        table_cell(table, TERM_DIM, "%s", when);
        table_cell(table, TERM_DIM, "%s", note->author);
        table_cell(table, note->text[0] != '\0' ? TERM_PLAIN : TERM_DIM, "%s",
            note->text[0] != '\0' ? note->text : "(a mark)");
    }
    table_print(table, stdout);
    table_destroy(table);
}

static void print(const struct cli *cli, const Baro__NotesReply *reply)
{
    bool is_list = reply->id == 0 && cli->values.remove == INT64_MIN;
    for (size_t i = 0; cli->values.is_json && i < reply->n_notes; i++) {
        if (reply->id == 0 || reply->notes[i]->id == reply->id) {
            json_print(&cli->out, note_to_json(reply->notes[i]));
        }
    }
    if (cli->values.is_json) {
        return;
    }
    if (is_list && reply->n_notes == 0) {
        (void)printf(
            "no notes; baro note %s [--step N] TEXT writes one\n", cli->arguments[0]);
    } else if (is_list) {
        print_list(cli, reply);
    } else if (reply->id == 0) {
        (void)printf("removed note %" PRId64 "\n", cli->values.remove);
    }
    for (size_t i = 0; reply->id != 0 && i < reply->n_notes; i++) {
        if (reply->notes[i]->id == reply->id) {
            (void)printf(
                "note %" PRIu64 " at step %" PRId64 "\n", reply->id, reply->notes[i]->step);
        }
    }
}

static int ask(struct cli *cli, const Baro__RunInfo *run, char *text)
{
    struct link_message reply;
    Baro__Note note;
    baro__note__init(&note);
    bool is_removing = cli->values.remove != INT64_MIN;
    bool has_step = cli->values.step != INT64_MIN;
    note.step = has_step ? cli->values.step : run->last_step;
    note.text = text;
    note.author = (char *)(uintptr_t)own_name();
    bool is_adding = !is_removing && (has_step || text[0] != '\0');
    const Baro__NotesReply *notes = notes_ask(cli, run->run, is_adding ? &note : NULL,
        is_removing ? (uint64_t)cli->values.remove : 0, &reply);
    if (notes == NULL) {
        return CLI_FAILED;
    }
    print(cli, notes);
    link_message_release(&reply);
    return CLI_OK;
}

int cmd_note(struct cli *cli)
{
    struct run_list runs = {0};
    baro_autofree char *text = join_words(cli);
    int rc = check(cli, text);
    rc = rc == CLI_OK ? runs_ask(cli, &runs) : rc;
    if (rc == CLI_OK) {
        const Baro__RunInfo *run = runs_find(&runs, cli->arguments[0]);
        rc = run != NULL ? ask(cli, run, text) : CLI_FAILED;
    }
    runs_release(&runs);
    return rc;
}
