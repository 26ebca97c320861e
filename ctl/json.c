// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* json.c - numbers and text as belayctl's JSON has them */
#include <stdarg.h>
#include <string.h>

#include <linux/belay.h>

#include "ctl/belayctl.h"

/* JSON's integers end here in most readers of it, and in jansson. */
json_t *ctl_json_u64(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* No limit is null: no number says it without being taken for one. */
json_t *ctl_json_limit(uint64_t limit)
{
	return limit == BELAY_UNLIMITED ? json_null() : ctl_json_u64(limit);
}

/* What a process calls itself may be any bytes; JSON is UTF-8. */
json_t *ctl_json_text(const char *text)
{
	json_t *json = json_string(text);
	char ascii[BELAY_ADMIN_TEXT];
	size_t i;

	if (json)
		return json;
	for (i = 0; text[i] && i < sizeof(ascii) - 1; i++)
		ascii[i] = (signed char)text[i] < 0 ? '?' : text[i];
	ascii[i] = '\0';
	return json_string(ascii);
}

/*
 * Of keys and values in turn, NULL at the end. Takes the values; NULL when one
 * of them or the object could not be made.
 */
json_t *ctl_json_object(const char *key, ...)
{
	json_t *object = json_object(), *value;
	bool failed = !object;
	va_list ap;

	va_start(ap, key);
	for (; key; key = va_arg(ap, const char *)) {
		value = va_arg(ap, json_t *);
		if (json_object_set_new(object, key, value))
			failed = true;
	}
	va_end(ap);
	if (!failed)
		return object;
	json_decref(object);
	return NULL;
}

/* Prints and frees it. NULL is what could not be made. */
int ctl_json_print(struct ctl *c, json_t *json)
{
	int failed = !json || json_dumpf(json, c->out, JSON_INDENT(2));

	json_decref(json);
	if (failed)
		return ctl_fail(c, CTL_FAILED, "cannot make or write JSON");
	fputc('\n', c->out);
	return CTL_OK;
}
