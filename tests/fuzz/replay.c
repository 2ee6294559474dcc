// SPDX-License-Identifier: MIT
// main() for a compiler without libFuzzer: runs each file that is named once.
#include "input.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

// plan.c has a mutator; here nothing mutates.
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) {
    (void)data;
    return size < max_size ? size : max_size;
}

int main(int count, char **names) {
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
            perror(names[i]);
            return 2;
        }
        const long bytes = ftell(file);
        uint8_t *data = malloc(bytes > 0 ? (size_t)bytes : 1);
        rewind(file);
        if (bytes < 0 || data == NULL || fread(data, 1, (size_t)bytes, file) != (size_t)bytes) {
            perror(names[i]);
            return 2;
        }
        fclose(file);
        fprintf(stderr, "Running: %s\n", names[i]);
        LLVMFuzzerTestOneInput(data, (size_t)bytes);
        free(data);
    }
    return 0;
}
