/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets as Kafka keeps them: texts of Kafka 3.9's own encoder are read, ours
 * have its parts, and what is broken is refused. */
#include <string.h>

#include "config/alter.h"
#include "security/secrets.h"
#include "tests/unit/unit.h"

#define KEY "listener.name.plaintext.ssl.keystore.password"

/* Of the real Kafka, with the secret "geheim". */
static const char golden[] =
    "initializationVector:e8rq0vQANhxOg0siWQdlqw==,keyLength:128,salt:"
    "j5g86we07B91l+38qGHCfJlRq+vFsb7LTHWqq/r6Q7pz0mHWuqnsdNIxx89GnsUFosx2nZF"
    "njXtIBqQwmHUwozPsyat/AZ/cIFJFcc56lYuzA7qfEoc0+rcIetIW/KPpSmfWBbPsyZ1jbl"
    "3/niUutfiANjJg2URfqnxcS9NM3BxIc7Gvi/wJQRr2QV9u6OvJra1MT0knZ+VB5JDD+CUB4"
    "xGebfS44jg80sTkMvRgyaBX1F4PLq3VmB5TsK+1kdw4BVspiQP8q2OQ7b9ZyjUBG6RkfmwD"
    "L02NpLFmL6runaHFzbhaGtMjy9sPbEqq1BD3xl2n/Up76L0HMPzTvmhskQ==,"
    "keyFactoryAlgorithm:PBKDF2WithHmacSHA512,"
    "cipherAlgorithm:AES/CBC/PKCS5Padding,iterations:4096,passwordLength:11,"
    "encryptedPassword:VmsedXzRM4uXAl0PkuIOmg==";
static const char golden_password[] =
    "geheim, \xc3\xa4\xf0\x9f\x98\x80";

static bool
decodes(const char *secret, const char *text, const char *password)
{
	struct buffer out = BUFFER_EMPTY;
	char error[PASSWORD_ERROR_SIZE];
	bool good = password_decode(secret, text, &out, error);

	if (good)
		good = strcmp(buffer_text(&out), password) == 0;
	else
		CU_ASSERT_STRING_EQUAL(error, "Password could not be decoded");
	buffer_fini(&out);
	return (good);
}

static void
test_golden(void)
{
	CU_ASSERT(decodes("geheim", golden, golden_password));
	CU_ASSERT(!decodes("geheim!", golden, golden_password));
	CU_ASSERT(!decodes("", golden, golden_password));
}

static const struct password_encoder encoders[] = {
	{ "s", NULL, "AES/CBC/PKCS5Padding", 128, 4096 },
	{ "s", "PBKDF2WithHmacSHA512", "AES/CBC/PKCS5Padding", 256, 1024 },
	{ "s", "PBKDF2WithHmacSHA384", "AES/CBC/PKCS5Padding", 192, 1024 },
	{ "s", "PBKDF2WithHmacSHA256", "AES/GCM/NoPadding", 128, 1024 },
	{ "s", "PBKDF2WithHmacSHA224", "AES/GCM/NoPadding", 192, 1024 },
	{ "s", "PBKDF2WithHmacSHA1", "AES/GCM/NoPadding", 256, 1024 },
	{ "", NULL, "DESede/CBC/PKCS5Padding", 192, 1024 },
};
static const char *const passwords[] = { "", "a", "0123456789abcdef",
	"a,b:c=d", golden_password };

static void
test_there_and_back(void)
{
	char error[PASSWORD_ERROR_SIZE];

	for (size_t e = 0; e < nelems(encoders); e++)
		for (size_t p = 0; p < nelems(passwords); p++) {
			struct buffer a = BUFFER_EMPTY, b = BUFFER_EMPTY;

			CU_ASSERT(password_encode(&encoders[e], passwords[p],
			    &a, error));
			CU_ASSERT(password_encode(&encoders[e], passwords[p],
			    &b, error));
			/* Salt and vector are new each time. */
			CU_ASSERT_STRING_NOT_EQUAL(buffer_text(&a),
			    buffer_text(&b));
			/* GCM's empty text is its tag; CBC's is a block. */
			CU_ASSERT(decodes(encoders[e].secret, buffer_text(&a),
			    passwords[p]));
			CU_ASSERT(!decodes("other", buffer_text(&a),
			    passwords[p]));
			buffer_fini(&a);
			buffer_fini(&b);
		}
}

static void
test_unknown(void)
{
	static const struct password_encoder bad[] = {
		{ "s", "PBKDF1", "AES/CBC/PKCS5Padding", 128, 4096 },
		{ "s", NULL, "AES/CBC/PKCS5Padding", 100, 4096 },
		{ "s", NULL, "RC4", 128, 4096 },
		{ "s", NULL, "DESede/CBC/PKCS5Padding", 128, 4096 },
	};
	static const char *const words[] = { "PBKDF1", "100", "RC4", "128" };
	char error[PASSWORD_ERROR_SIZE];
	struct buffer out = BUFFER_EMPTY;

	for (size_t i = 0; i < nelems(bad); i++) {
		CU_ASSERT(!password_encoder_check(&bad[i], error));
		CU_ASSERT_PTR_NOT_NULL(strstr(error, words[i]));
		CU_ASSERT(!password_encode(&bad[i], "p", &out, error));
		CU_ASSERT_EQUAL(out.length, 0);
	}
	for (size_t i = 0; i < nelems(encoders); i++)
		CU_ASSERT(password_encoder_check(&encoders[i], error));
	buffer_fini(&out);
}

/* The golden text with `from`, which is in it once, made `to`. */
static void
altered(const char *from, const char *to)
{
	const char *at = strstr(golden, from);
	struct buffer text = BUFFER_EMPTY;

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	buffer_append(&text, golden, (size_t)(at - golden));
	buffer_append_text(&text, to);
	buffer_append_text(&text, at + strlen(from));
	CU_ASSERT(!decodes("geheim", buffer_text(&text), golden_password));
	buffer_fini(&text);
}

static void
test_broken(void)
{
	static const char *const texts[] = { "", ",", ":", "a", "a:b", ",,,:,",
		"keyLength:128", "plain text", "iterations:1,keyLength:128" };

	for (size_t i = 0; i < nelems(texts); i++)
		CU_ASSERT(!decodes("geheim", texts[i], ""));
	altered("keyLength:128", "keyLength:256");
	altered("keyLength:128", "keyLength:0");
	altered("keyLength:128", "keyLength:-8");
	altered("iterations:4096", "iterations:4095");
	altered("iterations:4096", "iterations:0");
	altered("iterations:4096", "iterations:2147483647");
	altered("iterations:4096", "iterations:x");
	altered("passwordLength:11", "passwordLength:12");
	altered("passwordLength:11", "passwordLength:99999999999");
	altered("SHA512", "SHA256");
	altered("SHA512", "SHA");
	altered("AES/CBC", "AES/ECB");
	altered("AES/CBC/PKCS5Padding", "AES/GCM/NoPadding");
	altered("initializationVector:e8rq0vQANhxOg0siWQdlqw==",
	    "initializationVector:e8rq");
	altered("initializationVector:e8rq", "initializationVector:f8rq");
	altered("initializationVector:e8", "initializationVector:*8");
	altered("encryptedPassword:Vm", "encryptedPassword:Um");
	altered("encryptedPassword:VmsedXzRM4uXAl0PkuIOmg==",
	    "encryptedPassword:VmsedXzRM4uXAl0PkuI=");
	altered("encryptedPassword:VmsedXzRM4uXAl0PkuIOmg==",
	    "encryptedPassword:====");
	altered("encryptedPassword:VmsedXzRM4uXAl0PkuIOmg==", "x:y");
	altered("salt:j5g8", "salt:j5g9");
	altered("salt:j5g8", "salt:j5g");
}

/* --- maps ----------------------------------------------------------------- */

static const struct security_options with_secret = {
	.password_encoder_secret = "new",
	.password_encoder_old_secret = "geheim",
	.password_encoder_cipher_algorithm = "AES/CBC/PKCS5Padding",
	.password_encoder_key_bits = 128,
	.password_encoder_iterations = 1024,
};

static void
count_told(void *arg, const char *name)
{
	CU_ASSERT_STRING_EQUAL(name, KEY);
	++*(int *)arg;
}

static void
put(struct config_map *map, const char *name, const char *value)
{
	CU_ASSERT(config_map_put(map, slice_of_text(name),
	    slice_of_text(value), 0));
}

static void
test_maps(void)
{
	struct config_map plain, stored, again, back;
	char error[PASSWORD_ERROR_SIZE];
	int told = 0;

	config_map_init(&plain);
	config_map_init(&stored);
	config_map_init(&again);
	config_map_init(&back);
	put(&plain, KEY, " a b ");
	put(&plain, "log.retention.ms", " 5 ");
	CU_ASSERT(secrets_any(&plain));
	CU_ASSERT(secrets_encode(&with_secret, &plain, NULL, &stored, error));
	CU_ASSERT_STRING_EQUAL(config_map_get(&stored, "log.retention.ms"),
	    " 5 ");
	CU_ASSERT_STRING_NOT_EQUAL(config_map_get(&stored, KEY), " a b ");
	/* What is encoded already stays so. */
	CU_ASSERT(secrets_encode(&with_secret, &plain, &stored, &again,
	    error));
	CU_ASSERT_STRING_EQUAL(config_map_get(&again, KEY),
	    config_map_get(&stored, KEY));
	secrets_decode(&with_secret, &stored, &back, count_told, &told);
	CU_ASSERT_EQUAL(told, 0);
	CU_ASSERT_STRING_EQUAL(config_map_get(&back, KEY), " a b ");
	CU_ASSERT_STRING_EQUAL(config_map_get(&back, "log.retention.ms"),
	    " 5 ");
	config_map_fini(&plain);
	config_map_fini(&stored);
	config_map_fini(&again);
	config_map_fini(&back);
}

static void
test_without_secret(void)
{
	struct security_options none = with_secret;
	struct config_map plain, out;
	char error[PASSWORD_ERROR_SIZE];
	int told = 0;

	none.password_encoder_secret = NULL;
	config_map_init(&plain);
	config_map_init(&out);
	put(&plain, "log.retention.ms", "5");
	CU_ASSERT(!secrets_any(&plain));
	CU_ASSERT(secrets_encode(&none, &plain, NULL, &out, error));
	put(&plain, KEY, golden);
	CU_ASSERT(!secrets_encode(&none, &plain, NULL, &out, error));
	CU_ASSERT_STRING_EQUAL(error, "Password encoder secret not configured");
	config_map_fini(&out);
	config_map_init(&out);
	secrets_decode(&none, &plain, &out, count_told, &told);
	CU_ASSERT_EQUAL(told, 1);
	CU_ASSERT_EQUAL(config_map_count(&out), 1);
	config_map_fini(&plain);
	config_map_fini(&out);
}

static void
test_another_secret(void)
{
	struct security_options no_old = with_secret;
	struct config_map stored, out, twice;
	char error[PASSWORD_ERROR_SIZE];

	no_old.password_encoder_old_secret = NULL;
	config_map_init(&stored);
	config_map_init(&out);
	config_map_init(&twice);
	put(&stored, "log.retention.ms", "5");
	put(&stored, KEY, golden);
	CU_ASSERT(!secrets_reencode(&no_old, &stored, &out, error));
	CU_ASSERT(secrets_reencode(&with_secret, &stored, &out, error));
	CU_ASSERT(decodes("new", config_map_get(&out, KEY), golden_password));
	CU_ASSERT_STRING_EQUAL(config_map_get(&out, "log.retention.ms"), "5");
	/* The old secret was left in the file: nothing more to do. */
	CU_ASSERT(!secrets_reencode(&with_secret, &out, &twice, error));
	CU_ASSERT_EQUAL(config_map_count(&twice), 0);
	config_map_fini(&stored);
	config_map_fini(&out);
	config_map_fini(&twice);
}

int
main(void)
{
	static const struct unit_test tests[] = {
		{ "a text of Kafka's", test_golden },
		{ "there and back", test_there_and_back },
		{ "algorithms that are not known", test_unknown },
		{ "broken texts", test_broken },
		{ "secrets of a map", test_maps },
		{ "without a secret", test_without_secret },
		{ "another secret", test_another_secret },
	};

	return (unit_main("security", tests, nelems(tests)));
}
