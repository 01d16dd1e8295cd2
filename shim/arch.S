/*
 * All that is particular to a machine: a raw system call, and the stub that programs call as syscall(3).
 *
 * The stub must work before any constructor has run (a preloaded allocator calls it from the loader), must not cost
 * those who use it for other numbers, and must not own a stack frame, for SYS_vfork returns twice.  So it jumps: to our
 * hook for a number in snag_syscalls, to libc's syscall() once that is known, and else does the call itself.
 *
 * The .cfi lines let unwinders through: a signal handler that runs in the middle of a call may throw, or be cancelled.
 */
#if defined(__x86_64__)

    .text
    .globl syscall
    .type syscall, @function
syscall:
    .cfi_startproc
    endbr64
    cmpq $512, %rdi
    jae 1f
    leaq snag_syscalls(%rip), %rax
    cmpb $0, (%rax,%rdi)
    jne snag_syscall_hook   /* the same arguments in the same places */
1:  movq snag_syscall_next(%rip), %rax
    testq %rax, %rax
    jz 2f
    jmp *%rax
2:  movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    syscall
    cmpq $-4095, %rax
    jae 3f
    ret
3:  movq %rax, %rdi
    jmp snag_syscall_error
    .cfi_endproc
    .size syscall, .-syscall

    .globl snag_raw
    .hidden snag_raw
    .type snag_raw, @function
snag_raw:
    .cfi_startproc
    endbr64
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    syscall
    ret
    .cfi_endproc
    .size snag_raw, .-snag_raw

#elif defined(__aarch64__)

    .text
    .globl syscall
    .type syscall, %function
syscall:
    .cfi_startproc
    cmp x0, #512
    b.hs 1f
    adrp x16, snag_syscalls
    add x16, x16, :lo12:snag_syscalls
    ldrb w16, [x16, x0]
    cbnz w16, 4f
1:  adrp x16, snag_syscall_next
    ldr x16, [x16, :lo12:snag_syscall_next]
    cbz x16, 2f
    br x16
2:  mov x8, x0
    mov x0, x1
    mov x1, x2
    mov x2, x3
    mov x3, x4
    mov x4, x5
    mov x5, x6
    svc #0
    cmn x0, #4095
    b.hs 3f
    ret
3:  b snag_syscall_error
4:  b snag_syscall_hook
    .cfi_endproc
    .size syscall, .-syscall

    .globl snag_raw
    .hidden snag_raw
    .type snag_raw, %function
snag_raw:
    .cfi_startproc
    mov x8, x0
    mov x0, x1
    mov x1, x2
    mov x2, x3
    mov x3, x4
    mov x4, x5
    mov x5, x6
    svc #0
    ret
    .cfi_endproc
    .size snag_raw, .-snag_raw

#else
#error "libsnag knows x86-64 and aarch64; another machine needs its part here"
#endif

    .section .note.GNU-stack, "", %progbits
