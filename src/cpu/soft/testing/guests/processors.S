# Two processors: self- and cross-modifying code, atomic operations, start-up and NMI. Link at 0x7c00 (flat
# binary); from offset 0x400 on it is the second processor's, at 0x8000.
.code16
.globl _start
_start:
  cli
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %ss
  mov $0x7000, %sp
  lgdtl gdtr
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  ljmpl $8, $protected
.code32
protected:
  mov $0x10, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  # Self-modifying: the very next instruction.
  movb $'S', same+1
same:
  mov $'x', %al
  out %al, $0xe9
  # Others: INIT, then SIPI with vector 8.
  movl $0xc4500, 0xfee00300
  movl $0xc4608, 0xfee00300
  # Atomic increments: aligned, crossing a line, crossing a page.
  mov $20000, %ecx
1: lock incl 0x20000
  lock incl 0x2003e
  dec %ecx
  jnz 1b
  mov $2000, %ecx
1: lock incl 0x20ffe
  dec %ecx
  jnz 1b
2: pause
  cmpb $1, 0x500
  jne 2b
  # The other one now calls 0x9000 again and again: change what it executes.
  movb $'C', 0x9001
3: mov 0x501, %al
  cmp $'C', %al
  jne 3b
  out %al, $0xe9
  # It halts when told so; an NMI wakes it.
  movb $1, 0x502
4: cmpb $1, 0x503
  jne 4b
  movl $0xc4400, 0xfee00300
5: cmpb $2, 0x503
  jne 5b
  mov $'E', %al
  out %al, $0xe9
end:
  cli
  hlt
  jmp end
.align 8
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr: .word 23
  .long gdt

.org 0x400
# Linked at 0x8000.
.code16
second:
  cli
  xor %ax, %ax
  mov %ax, %ds
  mov $0x2000, %ax
  mov %ax, %es
  xor %ax, %ax
  mov %ax, %ss
  mov $0x6000, %sp
  movw $0x8000 + nmi - second, 8
  movw $0, 10
  mov $20000, %cx
1: lock incl %es:0
  lock incl %es:0x3e
  dec %cx
  jnz 1b
  mov $2000, %cx
1: lock incl %es:0xffe
  dec %cx
  jnz 1b
  movb $1, 0x500
2: mov $0x1000, %bx
  call *%bx
  mov %al, 0x501
  cmpb $1, 0x502
  jne 2b
  movb $1, 0x503
  hlt
3: hlt
  jmp 3b
nmi:
  movb $2, 0x503
  iret
