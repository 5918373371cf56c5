// Counts the instructions that a guest executes, by the block of instructions
// that they stand in, in a file that others may read at any time:
//
//	-plugin count.so,out=FILE    struct count, one a block, those without runs are empty
//
// The few declarations of QEMU's plugin interface (version 2 and later) that
// it needs are its own, so that it builds without QEMU's sources. A block that
// an exception leaves early is counted whole. Counts are exact for a guest of
// one CPU; several may lose some.
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t plugin_id;
struct block;
typedef void (*on_translate)(plugin_id, struct block *);
typedef void (*on_execute)(unsigned int cpu, void *data);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translate);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, on_execute, int flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern uint64_t qemu_plugin_tb_vaddr(const struct block *);

#define SHOWN __attribute__((visibility("default")))
SHOWN int qemu_plugin_version = 2;

// count is what the block at an address of the guest did.
struct count {
	uint64_t address, runs, instructions;
};

enum { BITS = 20, COUNTS = 1 << BITS, LENGTH_BITS = 16 };
static struct count *counts;

// find returns the number of the count of an address. The last one is for all
// that find no room.
static uintptr_t find(uint64_t address)
{
	uintptr_t at = address * 0x9e3779b97f4a7c15 >> (64 - BITS);

	for (int i = 0; i < 1000; i++, at = (at + 1) % (COUNTS - 1)) {
		uint64_t empty = 0;

		if (__atomic_compare_exchange_n(&counts[at].address, &empty, address, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
		    empty == address)
			return at;
	}
	return COUNTS - 1;
}

// data holds the number of the count and, below, that of the instructions.
static void execute(unsigned int cpu, void *data)
{
	uintptr_t v = (uintptr_t)data;
	struct count *c = &counts[v >> LENGTH_BITS];

	c->runs++;
	c->instructions += v & ((1 << LENGTH_BITS) - 1);
}

static void translate(plugin_id id, struct block *b)
{
	uintptr_t v = find(qemu_plugin_tb_vaddr(b)) << LENGTH_BITS | qemu_plugin_tb_n_insns(b);

	qemu_plugin_register_vcpu_tb_exec_cb(b, execute, 0, (void *)v);
}

SHOWN int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	int fd = -1;

	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			fd = open(argv[i] + 4, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*counts) * COUNTS))
		return -1;
	counts = mmap(NULL, sizeof(*counts) * COUNTS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (counts == MAP_FAILED)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
