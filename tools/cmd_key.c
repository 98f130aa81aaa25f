/* SPDX-License-Identifier: Apache-2.0 */
/* baro key: make keys for tcp://, and say which of them the daemon admits. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/paths.h"
#include "lib/base/text.h"
#include "lib/keys/allowed.h"
#include "tools/cli.h"
#include "tools/json.h"

/* ---- what several of them need ---- */

static int find_list(char *path)
{
    char dir[BARO_PATH_BYTES];
    struct baro_err err = {0};
    if (baro_data_dir(dir, &err) != 0 || allowed_path(dir, path, &err) != 0) {
        return cli_fail_err(&err);
    }
    return CLI_OK;
}

/* The roles of --role; 0 after saying that they are none. */
static unsigned find_roles(const struct cli *cli, const char *otherwise)
{
    const char *text = cli->values.role != NULL ? cli->values.role : otherwise;
    if (text == NULL) {
        (void)cli_misuse("--role says what the key is for: push, view or admin");
        return 0;
    }
    unsigned roles = allowed_parse_roles(text);
    if (roles == 0) {
        static const char *const names[] = {"push", "view", "admin"};
        const char *near = baro_nearest(text, names, BARO_LEN(names));
        (void)cli_misuse("--role: '%s' is none of push, view, admin%s%s%s", text,
            near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
            near != NULL ? "'?" : "");
    }
    return roles;
}

/* The public key of the daemon of this data folder; may_make: make it when there is none. */
static int read_server(uint8_t out_key[KEYS_BYTES], bool may_make, struct baro_err *err)
{
    char dir[BARO_PATH_BYTES];
    struct keys_pair pair;
    int rc = baro_data_dir(dir, err);
    rc = rc != 0 ? rc : keys_read_server(dir, may_make, &pair, err);
    if (rc == 0) {
        memcpy(out_key, pair.public_key, KEYS_BYTES);
        keys_forget(&pair);
    }
    return rc;
}

/* ---- new ---- */

/* A name out of this machine's, for those who give none. */
static void make_name(char name[KEYS_NAME_BYTES])
{
    if (gethostname(name, KEYS_NAME_BYTES - 1) != 0 || name[0] == '\0') {
        (void)snprintf(name, KEYS_NAME_BYTES, "client");
    }
    name[KEYS_NAME_BYTES - 1] = '\0';
    for (char *c = name; *c != '\0'; c++) {
        char one[2] = {*c, '\0'};
        *c = keys_is_name(one) ? *c : '-';
    }
}

static int find_server(const struct cli *cli, struct keys_pair *pair)
{
    if (cli->values.server == NULL) {
        pair->has_server = read_server(pair->server_key, false, NULL) == 0;
        return CLI_OK;
    }
    pair->has_server = keys_parse(cli->values.server, pair->server_key);
    return pair->has_server
               ? CLI_OK
               : cli_misuse("--server: '%s' is no key: 64 hexadecimal digits, as 'baro key "
                            "server' prints them",
                     cli->values.server);
}

static void print_new(
    const struct cli *cli, const struct keys_pair *pair, const char *path, unsigned roles)
{
    char hex[KEYS_HEX_BYTES];
    char words[ALLOWED_ROLES_BYTES];
    (void)keys_format(pair->public_key, hex);
    (void)allowed_format_roles(roles, words);
    if (cli->values.is_json) {
        json_print(&cli->out, json_pack("{s:s, s:s, s:s, s:o, s:b}", "name", pair->name,
                                  "role", words, "public", hex, "file", json_text(path),
                                  "has_server", (int)pair->has_server));
        return;
    }
    (void)printf("made %s: keep it secret, and name it with BARO_KEY or --key\n"
                 "its line for the daemon's list ('baro key allow' puts it there):\n"
                 "%s %s %s\n",
        path, hex, words, pair->name);
    if (!pair->has_server) {
        (void)printf(
            "it lacks the daemon's key: 'baro key allow %s' on the daemon's machine adds it, or "
            "'baro key server' there prints the line to add\n",
            path);
    }
}

static int key_new(struct cli *cli, const char *name)
{
    char made_name[KEYS_NAME_BYTES];
    char made_path[KEYS_NAME_BYTES + 8];
    struct baro_err err = {0};
    if (name == NULL) {
        make_name(made_name);
        name = made_name;
    }
    if (!keys_is_name(name)) {
        return cli_misuse(
            "'%s' is no name for a key: letters, digits and . _ - @ +, at most "
            "%d of them",
            name, KEYS_NAME_BYTES - 1);
    }
    unsigned roles = find_roles(cli, "push");
    struct keys_pair pair;
    if (roles == 0) {
        return CLI_USAGE;
    }
    if (keys_make(&pair, name, &err) != 0) {
        return cli_fail_err(&err);
    }
    int rc = find_server(cli, &pair);
    (void)snprintf(made_path, sizeof made_path, "%s.key", name);
    const char *path = cli->values.output != NULL ? cli->values.output : made_path;
    if (rc == CLI_OK && keys_write(path, &pair, &err) != 0) {
        rc = cli_fail_err(&err);
    }
    if (rc == CLI_OK) {
        print_new(cli, &pair, path, roles);
    }
    keys_forget(&pair);
    return rc;
}

/* ---- the list ---- */

static int key_list(const struct cli *cli)
{
    char path[BARO_PATH_BYTES];
    struct baro_err err = {0};
    struct allowed allowed = {0};
    if (find_list(path) != CLI_OK) {
        return CLI_FAILED;
    }
    int rc = allowed_read(path, &allowed, &err);
    for (size_t i = 0; i < allowed.n_keys; i++) {
        const struct allowed_key *key = &allowed.keys[i];
        char hex[KEYS_HEX_BYTES];
        char words[ALLOWED_ROLES_BYTES];
        (void)keys_format(key->public_key, hex);
        (void)allowed_format_roles(key->roles, words);
        if (cli->values.is_json) {
            json_print(&cli->out, json_pack("{s:s, s:s, s:s}", "name", key->name, "role",
                                      words, "public", hex));
        } else {
            (void)printf("%-16s %-10s %s\n", key->name, words, hex);
        }
    }
    if (rc == 0 && allowed.n_keys == 0 && !cli->values.is_json) {
        (void)printf("no key is listed: see 'baro help key'\n");
    }
    allowed_finish(&allowed);
    return rc == 0 ? CLI_OK : cli_fail_err(&err);
}

/* A public key as digits, or out of a key file; the file's name for it goes to out->name.
 * out_lacks: the file has no daemon's key yet. */
static int find_public(const char *text, struct allowed_key *out, bool *out_lacks)
{
    struct keys_pair pair;
    struct baro_err err = {0};
    *out_lacks = false;
    if (keys_parse(text, out->public_key)) {
        return CLI_OK;
    }
    if (strchr(text, '.') == NULL && strchr(text, '/') == NULL && access(text, F_OK) != 0) {
        return cli_misuse(
            "'%s' is no public key of 64 hexadecimal digits, and no file", text);
    }
    if (keys_read(text, &pair, &err) != 0) {
        return cli_fail_err(&err);
    }
    memcpy(out->public_key, pair.public_key, KEYS_BYTES);
    (void)snprintf(out->name, sizeof out->name, "%s", pair.name);
    *out_lacks = !pair.has_server;
    keys_forget(&pair);
    return CLI_OK;
}

/* Tell a key file the daemon's key. Tells whether it could. */
static bool add_server(const char *path, const char *hex)
{
    FILE *file = fopen(path, "a");
    if (file == NULL) {
        return false;
    }
    bool is_written = fprintf(file, "server = %s\n", hex) > 0;
    return fclose(file) == 0 && is_written;
}

static int key_allow(const struct cli *cli, const char *text)
{
    char path[BARO_PATH_BYTES];
    char hex[KEYS_HEX_BYTES];
    uint8_t server_key[KEYS_BYTES];
    struct allowed_key key = {0};
    struct baro_err err = {0};
    bool lacks_server = false;
    key.roles = find_roles(cli, NULL);
    int rc = key.roles != 0 ? find_public(text, &key, &lacks_server) : CLI_USAGE;
    if (rc != CLI_OK) {
        return rc;
    }
    if (cli->values.name != NULL) {
        (void)snprintf(key.name, sizeof key.name, "%s", cli->values.name);
    }
    if (!keys_is_name(key.name)) {
        return cli_misuse("--name calls the key something: letters, digits and . _ - @ +");
    }
    if (find_list(path) != CLI_OK) {
        return CLI_FAILED;
    }
    /* The daemon's own key makes the folder, too. */
    if (read_server(server_key, true, &err) != 0 || allowed_add(path, &key, &err) != 0) {
        return cli_fail_err(&err);
    }
    char words[ALLOWED_ROLES_BYTES];
    (void)printf("'%s' may %s now\n", key.name, allowed_format_roles(key.roles, words));
    (void)keys_format(server_key, hex);
    if (lacks_server && add_server(text, hex)) {
        (void)printf("%s knows the daemon's key now\n", text);
    } else {
        (void)printf("the daemon's line for its key file:\nserver = %s\n", hex);
    }
    return CLI_OK;
}

static int key_revoke(const char *which)
{
    char path[BARO_PATH_BYTES];
    struct baro_err err = {0};
    if (find_list(path) != CLI_OK) {
        return CLI_FAILED;
    }
    int n = allowed_remove(path, which, &err);
    if (n < 0) {
        return cli_fail_err(&err);
    }
    (void)printf(
        "%d key%s taken off the list; a running daemon refuses %s within a second\n", n,
        n == 1 ? " was" : "s were", n == 1 ? "it" : "them");
    return CLI_OK;
}

static int key_server(const struct cli *cli)
{
    uint8_t key[KEYS_BYTES];
    char hex[KEYS_HEX_BYTES];
    struct baro_err err = {0};
    if (read_server(key, true, &err) != 0) {
        return cli_fail_err(&err);
    }
    if (cli->values.is_json) {
        json_print(&cli->out, json_pack("{s:s}", "public", keys_format(key, hex)));
    } else {
        (void)printf("server = %s\n", keys_format(key, hex));
    }
    return CLI_OK;
}

int cmd_key(struct cli *cli)
{
    static const char *const names[] = {"new", "list", "allow", "revoke", "server"};
    const char *what = cli->arguments[0];
    const char *argument = cli->n_arguments > 1 ? cli->arguments[1] : NULL;
    if (strcmp(what, "new") == 0) {
        return key_new(cli, argument);
    }
    if (strcmp(what, "allow") == 0) {
        return argument != NULL
                   ? key_allow(cli, argument)
                   : cli_misuse("which key? it is: baro key allow PUBLIC|FILE --role ROLE "
                                "--name NAME");
    }
    if (strcmp(what, "revoke") == 0) {
        return argument != NULL
                   ? key_revoke(argument)
                   : cli_misuse("which key? it is: baro key revoke PUBLIC|NAME");
    }
    if (strcmp(what, "list") == 0) {
        return key_list(cli);
    }
    if (strcmp(what, "server") == 0) {
        return key_server(cli);
    }
    const char *near = baro_nearest(what, names, BARO_LEN(names));
    return cli_misuse("baro key knows new, list, allow, revoke and server, not '%s'%s%s%s",
        what, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
        near != NULL ? "'?" : "");
}
