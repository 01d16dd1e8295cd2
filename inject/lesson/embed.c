/*
 * embed.c - files.def, read twice: the bytes, by the assembler, and a table of them.
 */
#include "lesson/embed.h"

#include <string.h>

#define TEXTS "inject/lesson/texts/"
#define BYTES(id, path) \
    __asm__(".pushsection .rodata\n" \
            "embedded_" #id ": .incbin \"" path "\"\n" \
            ".byte 0\n" \
            ".popsection"); \
    extern const char embedded_##id[] __attribute__((visibility("hidden")));

#define LESSON(id, name) BYTES(en_##id, TEXTS "en/" name ".lesson")
#define TRANSLATED(language, id, name) BYTES(language##_##id, TEXTS #language "/" name ".lesson")
#define WORDS(language) BYTES(words_##language, TEXTS #language "/words")
#define SOURCE(id, path) BYTES(id, path)
#define PAGE(id, path) BYTES(id, path)
#include "lesson/files.def"
#undef LESSON
#undef TRANSLATED
#undef WORDS
#undef SOURCE
#undef PAGE

static const struct embedded files[] = {
#define LESSON(id, name) {EMBED_LESSON, "en", name, embedded_en_##id},
#define TRANSLATED(language, id, name) {EMBED_TRANSLATED, #language, name, embedded_##language##_##id},
#define WORDS(language) {EMBED_WORDS, #language, "words", embedded_words_##language},
#define SOURCE(id, path) {EMBED_SOURCE, "", path, embedded_##id},
#define PAGE(id, path) {EMBED_PAGE, "", path, embedded_##id},
#include "lesson/files.def"
};

const struct embedded *embed_at(size_t i)
{
    return i < sizeof files / sizeof files[0] ? &files[i] : NULL;
}

const struct embedded *embed_find(enum embed_kind kind, const char *language, const char *name)
{
    const struct embedded *file;
    for (size_t i = 0; (file = embed_at(i)) != NULL; i++)
        if (file->kind == kind && strcmp(file->name, name) == 0 &&
            (language == NULL || strcmp(file->language, language) == 0))
            return file;
    return NULL;
}
