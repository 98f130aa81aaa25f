/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/keys/allowed.h"
#include "lib/keys/client.h"

struct place {
    char dir[64];
    char path[128];
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    (void)snprintf(place->dir, sizeof place->dir, "/tmp/baro-keys-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    (void)snprintf(place->path, sizeof place->path, "%s/file", place->dir);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", place->dir);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)fchmod(fd, mode);
    (void)close(fd);
}

static char *read_file(const char *path, char *text, size_t n)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, n - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

static void a_key_comes_back_from_its_file_with_every_bit(void **state)
{
    const struct place *place = *state;
    struct keys_pair pair;
    struct keys_pair other;
    struct stat status;
    assert_int_equal(keys_make(&pair, "trainer-3", NULL), 0);
    assert_int_equal(keys_make(&other, "b", NULL), 0);
    assert_memory_not_equal(pair.secret_key, other.secret_key, KEYS_BYTES);
    pair.has_server = true;
    memcpy(pair.server_key, other.public_key, KEYS_BYTES);
    assert_int_equal(keys_write(place->path, &pair, NULL), 0);
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(keys_read(place->path, &other, NULL), 0);
    assert_string_equal(other.name, "trainer-3");
    assert_memory_equal(other.public_key, pair.public_key, KEYS_BYTES);
    assert_memory_equal(other.secret_key, pair.secret_key, KEYS_BYTES);
    assert_memory_equal(other.server_key, pair.server_key, KEYS_BYTES);
    assert_true(other.has_server);
}

static void a_key_is_never_written_over(void **state)
{
    const struct place *place = *state;
    struct keys_pair pair;
    struct baro_err err = {0};
    char text[64];
    write_file(place->path, "precious", 0600);
    assert_int_equal(keys_make(&pair, "a", NULL), 0);
    assert_int_equal(keys_write(place->path, &pair, &err), BARO_EEXIST);
    assert_string_equal(read_file(place->path, text, sizeof text), "precious");
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    const struct place *place = *state;
    struct keys_pair pair;
    struct baro_err err = {0};
    assert_int_equal(keys_make(&pair, "a", NULL), 0);
    assert_int_equal(keys_write(place->path, &pair, NULL), 0);
    assert_int_equal(chmod(place->path, 0640), 0);
    assert_int_equal(keys_read(place->path, &pair, &err), BARO_EACCES);
    assert_non_null(strstr(err.text, "chmod 600"));
}

#define HEX   "00112233445566778899aabbccddeeff00112233445566778899aAbBcCdDeEfF"
#define HEX_2 "f0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void a_damaged_key_file_is_named_with_its_line(void **state)
{
    const struct place *place = *state;
    static const struct {
        const char *text;
        const char *said;
    } rows[] = {
        {"", "no public key"},
        {"public = " HEX "\n", "no secret key"},
        {"public = " HEX "\nsecret = 12\n", "line 2"},
        {"# x\n\npublic = " HEX "0\n", "line 3"},
        {"hello\n", "line 1"},
        {"name = a b\n", "line 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct keys_pair pair;
        struct baro_err err = {0};
        write_file(place->path, rows[i].text, 0600);
        assert_int_equal(keys_read(place->path, &pair, &err), BARO_ECORRUPT);
        if (strstr(err.text, rows[i].said) == NULL) {
            fail_msg("row %zu: '%s' lacks '%s'", i, err.text, rows[i].said);
        }
    }
    struct keys_pair pair;
    write_file(place->path, "public=" HEX "\nsecret = " HEX "\nlater = x\n", 0600);
    assert_int_equal(keys_read(place->path, &pair, NULL), 0);
    assert_int_equal(pair.public_key[31], 0xff);
}

static void a_daemon_keeps_the_key_that_it_made_at_first(void **state)
{
    const struct place *place = *state;
    struct keys_pair first;
    struct keys_pair second;
    assert_int_equal(keys_read_server(place->dir, false, &first, NULL), BARO_ENOENT);
    assert_int_equal(keys_read_server(place->dir, true, &first, NULL), 0);
    assert_int_equal(keys_read_server(place->dir, true, &second, NULL), 0);
    assert_memory_equal(first.secret_key, second.secret_key, KEYS_BYTES);
}

static void roles_are_words_with_commas(void **state)
{
    (void)state;
    char words[ALLOWED_ROLES_BYTES];
    assert_int_equal(allowed_parse_roles("push"), KEYS_PUSH);
    assert_int_equal(allowed_parse_roles("view,push"), KEYS_PUSH | KEYS_VIEW);
    assert_int_equal(allowed_parse_roles("admin"), KEYS_ADMIN);
    assert_int_equal(allowed_parse_roles(""), 0);
    assert_int_equal(allowed_parse_roles("push,"), 0);
    assert_int_equal(allowed_parse_roles("root"), 0);
    assert_string_equal(
        allowed_format_roles(KEYS_PUSH | KEYS_VIEW | KEYS_ADMIN, words), "push,view,admin");
}

static void only_what_stands_in_the_list_is_found_and_bad_lines_admit_nobody(void **state)
{
    const struct place *place = *state;
    struct allowed allowed;
    struct baro_err err = {0};
    uint8_t key[KEYS_BYTES];
    assert_int_equal(allowed_read(place->path, &allowed, &err), 0); /* no file */
    assert_int_equal(allowed.n_keys, 0);
    write_file(place->path,
        "# who may\n" HEX " push a\nnonsense\n" HEX_2 " view,push b # since May\n" HEX "\n",
        0600);
    assert_int_equal(allowed_read(place->path, &allowed, &err), BARO_ECORRUPT);
    assert_non_null(strstr(err.text, "line 3"));
    assert_int_equal(allowed.n_keys, 2);
    assert_int_equal(allowed.n_bad, 2);
    assert_true(keys_parse(HEX_2, key));
    assert_string_equal(allowed_find(&allowed, key)->name, "b");
    assert_int_equal(allowed_find(&allowed, key)->roles, KEYS_PUSH | KEYS_VIEW);
    key[7] ^= 1;
    assert_null(allowed_find(&allowed, key));
    allowed_finish(&allowed);
    assert_int_equal(chmod(place->path, 0666), 0);
    assert_int_equal(allowed_read(place->path, &allowed, &err), BARO_EACCES);
    assert_int_equal(allowed.n_keys, 0);
    allowed_finish(&allowed);
}

static void edits_of_the_list_leave_everything_else_as_it_is(void **state)
{
    const struct place *place = *state;
    char text[1024];
    struct allowed_key key = {.roles = KEYS_VIEW, .name = "c"};
    static const char before[] = "# mine\n\nnonsense stays\n" HEX " push a";
    write_file(place->path, before, 0600);
    assert_true(keys_parse(HEX_2, key.public_key));
    assert_int_equal(allowed_add(place->path, &key, NULL), 0);
    (void)snprintf(text, sizeof text, "%s\n%s view c\n", before, HEX_2);
    char now[1024];
    assert_string_equal(read_file(place->path, now, sizeof now), text);
    key.roles = KEYS_ADMIN; /* again: the line is replaced */
    assert_int_equal(allowed_add(place->path, &key, NULL), 0);
    (void)snprintf(text, sizeof text, "%s\n%s admin c\n", before, HEX_2);
    assert_string_equal(read_file(place->path, now, sizeof now), text);
    assert_int_equal(allowed_remove(place->path, "nobody", NULL), BARO_ENOENT);
    assert_int_equal(allowed_remove(place->path, "c", NULL), 1);
    assert_int_equal(allowed_remove(place->path, HEX, NULL), 1);
    assert_string_equal(
        read_file(place->path, now, sizeof now), "# mine\n\nnonsense stays\n");
}

static void tcp_without_a_key_is_refused_unless_that_is_spelled_out(void **state)
{
    const struct place *place = *state;
    struct keys_client client;
    struct baro_err err = {0};
    (void)unsetenv("BARO_KEY");
    (void)unsetenv("BARO_INSECURE");
    assert_int_equal(keys_choose("ipc:///x", NULL, &client, &err), 0);
    assert_false(client.is_tcp || client.is_curve);
    assert_int_equal(keys_choose("tcp://h:1", NULL, &client, &err), BARO_EACCES);
    assert_non_null(strstr(err.text, "baro key new"));
    (void)setenv("BARO_INSECURE", "1", 1);
    assert_int_equal(keys_choose("tcp://h:1", NULL, &client, &err), 0);
    assert_true(client.is_tcp && !client.is_curve);
    (void)unsetenv("BARO_INSECURE");
    struct keys_pair pair;
    assert_int_equal(keys_make(&pair, "a", NULL), 0);
    assert_int_equal(keys_write(place->path, &pair, NULL), 0);
    assert_int_equal(keys_choose("tcp://h:1", place->path, &client, &err), BARO_EINVAL);
    assert_non_null(strstr(err.text, "baro key server"));
    pair.has_server = true;
    (void)unlink(place->path);
    assert_int_equal(keys_write(place->path, &pair, NULL), 0);
    (void)setenv("BARO_KEY", place->path, 1);
    assert_int_equal(keys_choose("tcp://h:1", NULL, &client, &err), 0);
    assert_true(client.is_curve);
    assert_memory_equal(client.pair.secret_key, pair.secret_key, KEYS_BYTES);
    (void)unsetenv("BARO_KEY");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_key_comes_back_from_its_file_with_every_bit),
        CASE(a_key_is_never_written_over),
        CASE(a_key_that_others_can_read_is_refused),
        CASE(a_damaged_key_file_is_named_with_its_line),
        CASE(a_daemon_keeps_the_key_that_it_made_at_first),
        cmocka_unit_test(roles_are_words_with_commas),
        CASE(only_what_stands_in_the_list_is_found_and_bad_lines_admit_nobody),
        CASE(edits_of_the_list_leave_everything_else_as_it_is),
        CASE(tcp_without_a_key_is_refused_unless_that_is_spelled_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
