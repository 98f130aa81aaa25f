/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `baro export` writes with: numbers as text, files that are there whole or not at all,
 * spools, and .npz archives, which Python's zipfile reads as a second opinion.
 */
#include "tests/testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "tools/npz.h"
#include "tools/number.h"
#include "tools/spool.h"

struct place {
    char dir[64];
    char path[96];
};

static int setup(void **state)
{
    struct place *place = baro_xcalloc(1, sizeof *place);
    (void)snprintf(place->dir, sizeof place->dir, "/tmp/baro-npz-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    (void)snprintf(place->path, sizeof place->path, "%s/a.npz", place->dir);
    *state = place;
    return 0;
}

/* Count the files in the folder, removing them. */
static int empty(const struct place *place)
{
    int n = 0;
    DIR *folder = opendir(place->dir);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            char path[512];
            (void)snprintf(path, sizeof path, "%s/%s", place->dir, entry->d_name);
            (void)unlink(path);
            n++;
        }
    }
    (void)closedir(folder);
    return n;
}

static int teardown(void **state)
{
    struct place *place = *state;
    (void)empty(place);
    (void)rmdir(place->dir);
    free(place);
    return 0;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- numbers ---- */

static void every_double_comes_back(void **state)
{
    (void)state;
    uint64_t random = 1;
    char text[NUMBER_BYTES];
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = next_random(&random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (i % 4 == 0) { /* as many whole, short and single-precision numbers */
            value = (double)(int64_t)(bits >> (bits % 60));
        } else if (i % 4 == 1) {
            value = (double)(int)(bits % 100000) / 1000;
        } else if (i % 4 == 2) {
            value = (double)(float)value;
        }
        size_t n = number_write_f64(value, text);
        assert_int_equal(n, strlen(text));
        double back = strtod(text, NULL);
        assert_true(isnan(value) ? strcmp(text, "nan") == 0
                                 : memcmp(&back, &value, sizeof back) == 0);
    }
}

static void every_float_comes_back(void **state)
{
    (void)state;
    char text[NUMBER_BYTES];
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 20011) {
        uint32_t word = (uint32_t)bits;
        float value;
        memcpy(&value, &word, sizeof value);
        size_t n = number_write_f32(value, text);
        assert_int_equal(n, strlen(text));
        float back = strtof(text, NULL);
        assert_true(isnan(value) ? strcmp(text, "nan") == 0
                                 : memcmp(&back, &value, sizeof back) == 0);
    }
}

static void numbers_are_written_short(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"}, {-0.0, "-0.0"}, {1, "1"}, {-12345678, "-12345678"}, {0.1, "0.1"},
        {1e15, "1e+15"}, {999999999999999, "999999999999999"}, {1e300, "1e+300"},
        {0.1 + 0.2, "0.30000000000000004"}, {(double)INFINITY, "inf"},
        {-(double)INFINITY, "-inf"}, {(double)NAN, "nan"}};
    char text[NUMBER_BYTES];
    for (size_t i = 0; i < BARO_LEN(cases); i++) {
        (void)number_write_f64(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    (void)number_write_f32(0.1F, text);
    assert_string_equal(text, "0.1");
    (void)number_write_f32(1.0F / 3, text);
    assert_string_equal(text, "0.33333334");
    (void)number_write_i64(INT64_MIN, text);
    assert_string_equal(text, "-9223372036854775808");
    (void)number_write_i64(INT64_MAX, text);
    assert_string_equal(text, "9223372036854775807");
}

/* ---- files ---- */

static void a_file_gets_its_name_when_it_is_whole(void **state)
{
    struct place *place = *state;
    struct out_file out;
    struct baro_err err = {0};
    struct stat info;
    assert_int_equal(out_open(place->path, false, &out, &err), 0);
    for (int i = 0; i < 300000; i++) {
        out_write(&out, "0123456789", 10);
    }
    out_patch(&out, 5, "five", 4);
    out_patch(&out, 2999990, "end", 3);
    assert_int_not_equal(stat(place->path, &info), 0);
    assert_int_equal(out_finish(&out, &err), 0);
    assert_int_equal(stat(place->path, &info), 0);
    assert_int_equal(info.st_size, 3000000);
    char bytes[10];
    baro_autoclose int fd = open(place->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, bytes, 10, 0), 10);
    assert_memory_equal(bytes, "01234five9", 10);
    assert_int_equal(pread(fd, bytes, 10, 2999990), 10);
    assert_memory_equal(bytes, "end3456789", 10);
    assert_int_equal(empty(place), 1);
}

static void a_file_that_is_given_up_leaves_nothing(void **state)
{
    struct place *place = *state;
    struct out_file out;
    assert_int_equal(out_open(place->path, false, &out, NULL), 0);
    out_write(&out, "x", 1);
    int fd = out_scratch(&out);
    assert_true(fd >= 0);
    (void)close(fd);
    out_drop(&out);
    assert_int_equal(empty(place), 0);
    out_drop(&out); /* once more does nothing */
}

static void a_file_that_came_meanwhile_is_not_replaced(void **state)
{
    struct place *place = *state;
    struct out_file out;
    struct baro_err err = {0};
    assert_int_equal(out_open(place->path, false, &out, &err), 0);
    out_write(&out, "new", 3);
    (void)close(open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_not_equal(out_finish(&out, &err), 0);
    assert_non_null(strstr(err.text, "File exists"));
    struct stat info;
    assert_int_equal(stat(place->path, &info), 0);
    assert_int_equal(info.st_size, 0);
    assert_int_equal(empty(place), 1);
    assert_int_equal(out_open(place->path, true, &out, &err), 0);
    struct out_file other;
    assert_int_equal(out_open(place->path, true, &other, &err), BARO_EBUSY);
    out_write(&out, "new", 3);
    assert_int_equal(out_finish(&out, &err), 0);
    assert_int_equal(empty(place), 1);
}

/* ---- spools ---- */

struct lane_check {
    size_t width;
    size_t lane;
    uint64_t row;
};

static uint8_t byte_of(uint64_t row, size_t lane, size_t i)
{
    return (uint8_t)(row * 31 + lane * 7 + i);
}

static void check_lane(const void *bytes, size_t n_bytes, void *payload)
{
    struct lane_check *check = payload;
    const uint8_t *at = bytes;
    assert_int_equal(n_bytes % check->width, 0);
    for (size_t i = 0; i < n_bytes; i++) {
        uint64_t row = check->row + i / check->width;
        if (at[i] != byte_of(row, check->lane, i % check->width)) {
            fail_msg("row %d lane %d", (int)row, (int)check->lane);
        }
    }
    check->row += n_bytes / check->width;
}

static void check_spool(
    struct spool *spool, const size_t *lanes, size_t n_lanes, uint64_t n_rows)
{
    spool_reset(spool, lanes, n_lanes);
    for (uint64_t row = 0; row < n_rows; row++) {
        for (size_t lane = 0; lane < n_lanes; lane++) {
            uint8_t *place = spool_place(spool, lane);
            for (size_t i = 0; i < lanes[lane]; i++) {
                place[i] = byte_of(row, lane, i);
            }
        }
        spool_add(spool);
    }
    assert_int_equal(spool->n, n_rows);
    for (size_t lane = n_lanes; lane-- > 0;) {
        struct lane_check check = {.width = lanes[lane], .lane = lane};
        spool_each(spool, lane, check_lane, &check);
        assert_int_equal(check.row, n_rows);
    }
}

static void a_spool_gives_each_lane_of_all_rows(void **state)
{
    struct place *place = *state;
    static const size_t narrow[] = {8, 8, 2, 4, 8};
    static const size_t wide[] = {8, 8, 800000, 400004};
    static const size_t byte[] = {1};
    struct out_file out;
    struct spool spool;
    assert_int_equal(out_open(place->path, false, &out, NULL), 0);
    spool_init(&spool, &out);
    check_spool(&spool, narrow, 5, 100000);
    check_spool(&spool, narrow, 5, 0);
    check_spool(&spool, wide, 4, 5);
    check_spool(&spool, byte, 1, 20000);
    check_spool(&spool, narrow, 5, 8191);
    spool_finish(&spool);
    assert_int_equal(out.err.code, 0);
    out_drop(&out);
    assert_int_equal(empty(place), 0);
}

/* ---- archives ---- */

/* Let Python read an archive; its script says what is wrong by failing. */
static void ask_python(const struct place *place, const char *script)
{
    char command[4096];
    (void)snprintf(command, sizeof command,
        "python3 -c 'import sys, zipfile\n"
        "z = zipfile.ZipFile(\"%s\")\n"
        "assert z.testzip() is None\n"
        "names = z.namelist()\n"
        "%s'",
        place->path, script);
    int rc = system(command); /* the script is ours */
    if (rc == 127 << 8) {
        skip();
    }
    assert_int_equal(rc, 0);
}

static void write_numbers(struct npz *npz, const char *name, uint64_t n, uint64_t width)
{
    const uint64_t shape[NPZ_MAX_DIMS] = {n, width};
    npz_begin(npz, name, NPZ_I64, width > 1 ? 2 : 1, shape);
    for (uint64_t i = 0; i < n * width; i++) {
        int64_t number = (int64_t)(i * i) - 7;
        npz_data(npz, &number, sizeof number);
    }
    npz_end(npz);
}

static void write_archive(struct place *place, uint64_t large_from, unsigned n_members)
{
    struct out_file out;
    struct baro_err err = {0};
    assert_int_equal(out_open(place->path, true, &out, &err), 0);
    struct npz *npz = npz_create(&out, large_from);
    assert_non_null(npz);
    write_numbers(npz, "loss/values", 1000, 1);
    write_numbers(npz, "fc1.weight:grad/units/mean", 50, 3);
    write_numbers(npz, "none", 0, 1);
    const double one = 0.5;
    npz_begin(npz, "β", NPZ_F64, 0, NULL);
    npz_data(npz, &one, sizeof one);
    npz_end(npz);
    for (unsigned i = 4; i < n_members; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%u", i);
        write_numbers(npz, name, 1, 1);
    }
    npz_finish(npz);
    if (out_finish(&out, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static const char READ_ALL[] =
    "import struct\n"
    "def array(name):\n"
    "    data = z.read(name + \".npy\")\n"
    "    assert data[:8] == b\"\\x93NUMPY\\x01\\x00\"\n"
    "    n = struct.unpack(\"<H\", data[8:10])[0]\n"
    "    assert (10 + n) %% 64 == 0 and data[9 + n:10 + n] == b\"\\n\"\n"
    "    return eval(data[10:10 + n]), data[10 + n:]\n"
    "numbers = lambda n: struct.pack(\"<%%dq\" %% n, *(i * i - 7 for i in range(n)))\n"
    "head, data = array(\"loss/values\")\n"
    "assert head == {\"descr\": \"<i8\", \"fortran_order\": False, \"shape\": (1000,)}\n"
    "assert data == numbers(1000)\n"
    "head, data = array(\"fc1.weight:grad/units/mean\")\n"
    "assert head[\"shape\"] == (50, 3) and data == numbers(150)\n"
    "head, data = array(\"none\")\n"
    "assert head[\"shape\"] == (0,) and data == b\"\"\n"
    "head, data = array(\"\\u03b2\")\n"
    "assert head[\"shape\"] == () and head[\"descr\"] == \"<f8\"\n"
    "assert data == struct.pack(\"<d\", 0.5)\n";

static void an_archive_is_read_by_others(void **state)
{
    struct place *place = *state;
    char script[3000];
    write_archive(place, 0, 4);
    (void)snprintf(script, sizeof script, READ_ALL);
    ask_python(place, script);
    ask_python(place, "assert len(names) == 4\n"
                      "assert all(i.compress_type == 0 for i in z.infolist())\n");
}

static void a_large_archive_is_read_by_others(void **state)
{
    struct place *place = *state;
    char script[3000];
    (void)snprintf(script, sizeof script, READ_ALL);
    write_archive(
        place, 200, 300); /* sizes and offsets from 200 on have the form for large ones */
    ask_python(place, script);
    ask_python(place, "assert len(names) == 300 and names[299] == \"299.npy\"\n");
    write_archive(place, 0, 70000); /* more members than 16 bits count */
    ask_python(place, script);
    ask_python(place, "assert len(names) == 70000 and names[69999] == \"69999.npy\"\n");
}

static void names_stay_within_their_folder(void **state)
{
    struct place *place = *state;
    struct out_file out;
    assert_int_equal(out_open(place->path, true, &out, NULL), 0);
    struct npz *npz = npz_create(&out, 0);
    static const char *const names[] = {
        "/etc/x", "../x", "a/../x", "a/./x", "..", "a\\b", "a..b/c..", "//x", "50%"};
    for (size_t i = 0; i < BARO_LEN(names); i++) {
        write_numbers(npz, names[i], 1, 1);
    }
    npz_finish(npz);
    assert_int_equal(out_finish(&out, NULL), 0);
    ask_python(place,
        "assert names == [n + \".npy\" for n in [\"%2Fetc/x\", \"%2E%2E/x\", "
        "\"a/%2E%2E/x\", \"a/%2E/x\", \"%2E%2E\", \"a%5Cb\", \"a..b/c..\", \"%2F/x\", "
        "\"50%\"]], names\n");
}

static void a_failing_disk_is_told(void **state)
{
    struct place *place = *state;
    struct out_file out;
    struct baro_err err = {0};
    assert_int_equal(out_open(place->path, true, &out, NULL), 0);
    struct npz *npz = npz_create(&out, 0);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) {
        npz_destroy(npz);
        out_drop(&out);
        skip();
    }
    assert_true(dup2(full, out.fd) >= 0);
    (void)close(full);
    write_numbers(npz, "x", 1 << 18, 1);
    npz_finish(npz);
    assert_int_equal(out_finish(&out, &err), BARO_EFULL);
    assert_non_null(strstr(err.text, "No space left"));
    assert_int_equal(empty(place), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_double_comes_back),
        cmocka_unit_test(every_float_comes_back),
        cmocka_unit_test(numbers_are_written_short),
        cmocka_unit_test_setup_teardown(
            a_file_gets_its_name_when_it_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_file_that_is_given_up_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_file_that_came_meanwhile_is_not_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_spool_gives_each_lane_of_all_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(an_archive_is_read_by_others, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_archive_is_read_by_others, setup, teardown),
        cmocka_unit_test_setup_teardown(names_stay_within_their_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_disk_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
