# Real, protected and long mode, exceptions and software interrupts. Link at 0x7c00 (flat binary).
.code16
.globl _start
_start:
  cli
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %ss
  mov $0x7000, %sp
  mov $'R', %al
  out %al, $0xe9
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
  mov $'P', %al
  out %al, $0xe9
  movl $0x11003, 0x10000
  movl $0x12003, 0x11000
  movl $0x00083, 0x12000
  mov $0x10000, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $0x20, %al
  mov %eax, %cr4
  mov $0xc0000080, %ecx
  rdmsr
  or $0x100, %eax
  wrmsr
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
  ljmpl $0x18, $long
.code64
long:
  mov $'L', %al
  out %al, $0xe9
  # IDT at 0x13000: vector 6 and 0x80
  mov $0x13000, %edi
  mov $invalid, %eax
  mov %ax, 0x60(%rdi)
  movl $0x8e000018, 0x62(%rdi)
  mov $system, %eax
  mov %ax, 0x800(%rdi)
  movl $0x8e000018, 0x802(%rdi)
  lidt idtr
  int $0x80
  ud2
  mov $'E', %al
  out %al, $0xe9
end:
  cli
  hlt
  jmp end
invalid:
  addq $2, (%rsp)
  mov $'U', %al
  out %al, $0xe9
  iretq
system:
  mov $'I', %al
  out %al, $0xe9
  iretq
.align 8
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdtr: .word 31
  .long gdt
idtr: .word 0xfff
  .quad 0x13000
