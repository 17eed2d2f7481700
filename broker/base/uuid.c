/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include "base/random.h"

#define UUID_TEXT_LENGTH (UUID_TEXT_SIZE - 1)

/* RFC 4648, section 5. */
static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The ids that Kafka reserves have no type bits, so none of them is drawn. */
struct uuid
uuid_random(struct random *random)
{
	struct uuid uuid;

	do {
		random_bytes(random, uuid.bytes, sizeof(uuid.bytes));
		uuid.bytes[6] = (uuid.bytes[6] & 0x0f) | 0x40;
		uuid.bytes[8] = (uuid.bytes[8] & 0x3f) | 0x80;
	} while (alphabet[uuid.bytes[0] >> 2] == '-');
	return (uuid);
}

void
uuid_to_text(struct uuid uuid, char text[UUID_TEXT_SIZE])
{
	unsigned pending = 0;
	unsigned pending_bits = 0;
	size_t length = 0;

	for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
		pending = pending << 8 | uuid.bytes[i];
		pending_bits += 8;
		for (; pending_bits >= 6; pending_bits -= 6)
			text[length++] =
			    alphabet[pending >> (pending_bits - 6) & 0x3f];
	}
	text[length++] = alphabet[pending << (6 - pending_bits) & 0x3f];
	text[length] = '\0';
}

/* The four bits that the last character has too many are not looked at, as
 * java.util.Base64 does. */
bool
uuid_from_text(struct slice text, struct uuid *out)
{
	unsigned pending = 0;
	unsigned pending_bits = 0;
	size_t length = 0;
	struct uuid uuid;

	if (text.length != UUID_TEXT_LENGTH)
		return (false);
	for (size_t i = 0; i < text.length; i++) {
		const char *found =
		    memchr(alphabet, text.data[i], sizeof(alphabet) - 1);

		if (found == NULL)
			return (false);
		pending = pending << 6 | (unsigned)(found - alphabet);
		pending_bits += 6;
		if (pending_bits >= 8) {
			pending_bits -= 8;
			uuid.bytes[length++] =
			    (uint8_t)(pending >> pending_bits);
		}
	}
	*out = uuid;
	return (true);
}
