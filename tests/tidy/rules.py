# SPDX-License-Identifier: Apache-2.0
"""What the checks hold the tree against: tables, no code."""

import re

# Lengths, in lines and columns (a tab counts as 8).
FUNCTION_LINES = 70
FILE_LINES = 1200
COLUMNS = 80
TABLE_COLUMNS = 100

# Raised by nobody: it goes down with the list.
MOST_WAIVERS = 0

# Folders that are no part of the tree.
SKIPPED_FOLDERS = {".git", "autom4te.cache", "__pycache__", "build", "debian",
                   ".deps", "golden", "logs", "fields"}
SOURCE = (".c", ".h", ".def", ".py", ".java", ".sh")
# Where rooms' code is.
ROOM_FOLDERS = ("broker/", "zkglue/", "tools/")

# Headers of other people's libraries, and who may include them.
LIBRARIES = [
    ("event2/", ["broker/base/loop*", "broker/net/*", "broker/daemon/*"]),
    ("openssl/", ["broker/net/*", "broker/security/*"]),
    ("zookeeper/", ["zkglue/*"]),
    ("jansson.h", ["zkglue/*", "tools/*"]),
    ("zlib.h", ["broker/record/*"]),
    ("snappy-c.h", ["broker/record/*"]),
    ("lz4.h", ["broker/record/*"]),
    ("lz4frame.h", ["broker/record/*"]),
    ("lz4hc.h", ["broker/record/*"]),
    ("zstd.h", ["broker/record/*"]),
    ("zstd_errors.h", ["broker/record/*"]),
    ("xxhash.h", ["broker/storage/*"]),
    ("isa-l/crc.h", ["broker/base/crc32c.c"]),
    ("isa-l/igzip_lib.h", ["broker/record/*"]),
    ("librdkafka/", ["tools/*"]),
    ("uthash.h", ["broker/base/*"]),
    ("systemd/", ["broker/daemon/*"]),
    ("CUnit/", []),
]

# The C library's and the kernel's headers; another one is a new dependency.
SYSTEM_HEADERS = set("""
    ctype.h dirent.h endian.h errno.h fcntl.h float.h inttypes.h limits.h math.h
    netdb.h netinet/in.h netinet/tcp.h arpa/inet.h poll.h pthread.h signal.h
    stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h
    stdlib.h stdnoreturn.h string.h strings.h sys/epoll.h sys/eventfd.h
    sys/signalfd.h sys/timerfd.h libgen.h
    sys/auxv.h sys/file.h sys/mman.h sys/random.h sys/resource.h sys/sendfile.h
    sys/socket.h sys/stat.h sys/statvfs.h sys/time.h sys/types.h sys/uio.h
    sys/un.h sys/utsname.h sys/vfs.h sys/wait.h syslog.h time.h unistd.h
    malloc.h regex.h getopt.h grp.h pwd.h sched.h sys/prctl.h linux/magic.h
    linux/falloc.h wchar.h locale.h sys/syscall.h
    """.split())

# Files of config that work values out of an option's, which then count; and
# options that are honoured by the check that refuses any value but one.
OPTIONS_WORKED_OUT = ["broker/config/" + name for name in (
    "config.c", "config_listeners.c", "topic_options.def")]
HONOURED_BY_CHECK = {"inter_broker_protocol_version"}

# Nobody calls these.
BANNED = set("""strcpy strcat sprintf vsprintf atoi atol atoll atof strtok
    gets assert alloca stpcpy strncpy strncat setjmp longjmp
    """.split())


def _calls(text):
    return re.compile(r"\b(" + "|".join(text.split()) + r")\s*\(")


# The seams: what a broker learns from outside comes in through these files.
# (name, calls, files that may make them)
SEAMS = [
    ("clock", _calls("""time gettimeofday clock_gettime clock_nanosleep
        nanosleep usleep sleep"""),
     ["broker/base/clock.c", "broker/base/loop_threads.c"]),
    ("random", _calls("""rand random rand_r srand srandom drand48 getrandom
        getentropy arc4random getauxval"""),
     ["broker/base/random.c"]),
    ("net", _calls("""socket socketpair bind connect accept accept4 listen
        recv recvfrom recvmsg send sendto sendmsg setsockopt getsockopt
        getsockname getpeername getaddrinfo sendfile"""),
     ["broker/net/socket_system.c"]),
    ("file", _calls("""open openat creat fopen freopen read pread preadv readv
        write pwrite pwritev writev rename renameat unlink unlinkat mkdir
        mkdirat rmdir fsync fdatasync truncate ftruncate opendir readdir stat
        fstat lstat fstatat posix_fallocate fallocate mmap flock fcntl link
        symlink chmod remove posix_fadvise sync_file_range mincore preadv2
        pwritev2 statvfs fstatvfs"""),
     ["broker/storage/file.c", "broker/storage/file_faulty.c",
      # the operator's log; the session that is saved beside the data; signals
      # and wake-ups of the process, which are descriptors, too; what tools read
      "broker/base/diag.c", "zkglue/session_file.c",
      "broker/daemon/main.c", "tools/*"]),
    ("zookeeper", re.compile(r"\b(zoo_\w+|zookeeper_\w+)\s*\("),
     ["zkglue/library_*.c", "zkglue/driver_library.c"]),
    ("event", re.compile(r"\b(event_(?:new|add|del|free|assign|active|base_\w+|"
                         r"config_\w+)|evhttp_\w+|evbuffer_\w+|evtimer_\w+|"
                         r"evconnlistener_\w+|bufferevent_\w+|evthread_\w+)"
                         r"\s*\("),
     ["broker/base/loop_threads.c", "broker/daemon/admin.c"]),
    ("thread", _calls("""pthread_create pthread_join pthread_detach
        pthread_cancel pthread_kill fork vfork"""),
     # evhttp runs on a thread of its own, so that it answers when loops do not
     ["broker/base/loop_threads.c", "broker/daemon/admin.c"]),
]

# Symbols that compilers put beside ours.
TOOL_SYMBOLS = ("__odr_asan", "__asan", "__tsan", "__ubsan", "__sanitizer",
                "__sancov", "__gcov", "__llvm", "__prof", "__unnamed_", ".L",
                "___asan")
# What the checks of --enable-debug keep for each thread (base/lock.c).
DEBUG_SYMBOLS = {"ranks_held"}
# Sections in which nothing of ours may stand.
WRITABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*)")
