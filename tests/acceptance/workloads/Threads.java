import java.math.BigInteger;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.stream.*;

/** Threads, locks, collections and code that is compiled, guessed wrong and compiled again. Prints what is the same
 * on every machine; its status is 1 if a check fails. */
public class Threads {
  static final int THREADS = 4;
  static int plain;
  static volatile boolean stop;

  static void check(String name, boolean right) {
    if (right) return;
    System.out.println("WRONG: " + name);
    System.exit(1);
  }

  interface Task { long run(int index) throws Exception; }

  static long parallel(Task task) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(THREADS);
    List<Future<Long>> futures = new ArrayList<>();
    for (int i = 0; i < THREADS; ++i) {
      final int index = i;
      futures.add(pool.submit(() -> task.run(index)));
    }
    long sum = 0;
    for (Future<Long> future : futures) sum += future.get();
    pool.shutdown();
    return sum;
  }

  static String hash(byte[] bytes) throws Exception {
    return new BigInteger(1, MessageDigest.getInstance("SHA-256").digest(bytes)).toString(16);
  }

  public static void main(String[] arguments) throws Exception {
    // Counters, under contention, of every kind.
    final AtomicLong atomic = new AtomicLong();
    final LongAdder adder = new LongAdder();
    final ReentrantLock lock = new ReentrantLock();
    final Object monitor = new Object();
    final int[] guarded = new int[2];
    parallel(index -> {
      for (int i = 0; i < 20_000; ++i) {
        atomic.incrementAndGet();
        adder.add(2);
        synchronized (monitor) { guarded[0]++; }
        lock.lock();
        try { guarded[1]++; } finally { lock.unlock(); }
      }
      return 0;
    });
    check("atomic", atomic.get() == THREADS * 20_000L);
    check("adder", adder.sum() == THREADS * 40_000L);
    check("monitor", guarded[0] == THREADS * 20_000 && guarded[1] == THREADS * 20_000);

    // A volatile write after plain ones publishes them.
    final int[] box = new int[1];
    final AtomicInteger turn = new AtomicInteger();
    long seen = parallel(index -> {
      if (index > 1) return 0;
      long sum = 0;
      for (int i = 0; i < 2_000; ++i) {
        while (turn.get() != index) Thread.onSpinWait();
        if (index == 0) box[0] = i * 3; else sum += box[0];
        turn.set(1 - index);
        if ((i & 63) == 0) Thread.yield();
      }
      return sum;
    });
    check("published", seen == 3L * 2_000 * 1_999 / 2);

    ConcurrentHashMap<Integer, Long> map = new ConcurrentHashMap<>();
    parallel(index -> {
      for (int i = 0; i < 20_000; ++i) map.merge((i * 31 + index) % 5003, 1L, Long::sum);
      return 0;
    });
    check("map", map.values().stream().mapToLong(x -> x).sum() == THREADS * 20_000L);
    System.out.println("map " + map.size());

    long[] numbers = new Random(42).longs(200_000).toArray();
    long[] sorted = numbers.clone();
    Arrays.parallelSort(sorted);
    Arrays.sort(numbers);
    check("sort", Arrays.equals(numbers, sorted));
    System.out.println("sorted " + Arrays.hashCode(sorted));
    System.out.println("stream " + IntStream.range(0, 2_000_000).parallel().mapToLong(x -> (long) x * x % 7).sum());

    BigInteger power = BigInteger.valueOf(3).modPow(BigInteger.TWO.pow(2000).subtract(BigInteger.ONE),
                                                    BigInteger.TWO.pow(1279).subtract(BigInteger.ONE));
    System.out.println("power " + hash(power.toByteArray()));
    byte[] bytes = new byte[4 << 20];
    new Random(7).nextBytes(bytes);
    System.out.println("sha256 " + hash(bytes));
    java.util.zip.CRC32C crc = new java.util.zip.CRC32C();
    crc.update(bytes);
    System.out.println("crc32c " + crc.getValue());
    javax.crypto.Cipher cipher = javax.crypto.Cipher.getInstance("AES/CTR/NoPadding");
    cipher.init(1, new javax.crypto.spec.SecretKeySpec(new byte[16], "AES"), new javax.crypto.spec.IvParameterSpec(new byte[16]));
    System.out.println("aes " + hash(cipher.doFinal(bytes)));

    double floating = 0;
    for (int i = 1; i < 2_000_000; ++i) floating += Math.sin(i) * Math.sqrt(i) / Math.fma(i, 0.5, 1.0);
    System.out.printf("floating %.9f%n", floating);
    float[] a = new float[4096], b = new float[4096];
    for (int round = 0; round < 500; ++round) for (int i = 0; i < a.length; ++i) { b[i] = b[i] * 0.5f + i; a[i] += b[i] - round; }
    System.out.println("vectors " + Arrays.hashCode(a));

    // Null pointers, indexes, divisions and casts that were never wrong until the code was compiled.
    int caught = 0;
    Object[] things = new Object[1000];
    for (int round = 0; round < 400; ++round) {
      for (int i = 0; i < things.length; ++i) things[i] = round < 300 || i % 5 != 0 ? (Object) ("s" + i) : i % 2 == 0 ? null : (Object) i;
      for (int i = 0; i < things.length + (round >= 300 ? 1 : 0); ++i) {
        try {
          caught += ((String) things[i]).length() / (round >= 350 && i % 7 == 0 ? 0 : 1);
        } catch (NullPointerException e) { caught += 1;
        } catch (ClassCastException e) { caught += 10;
        } catch (ArrayIndexOutOfBoundsException e) { caught += 100;
        } catch (ArithmeticException e) { caught += 1000; }
      }
    }
    System.out.println("caught " + caught);
    int[] depth = new int[1];
    try { recurse(depth); } catch (StackOverflowError e) { depth[0] = Math.min(depth[0], 1000); }
    System.out.println("overflow " + depth[0]);

    // Garbage in all threads, while one asks for collections: the others are stopped by a page that is taken away.
    Thread collector = new Thread(() -> { while (!stop) { System.gc(); Thread.yield(); } });
    collector.start();
    long kept = parallel(index -> {
      Map<Integer, byte[]> live = new HashMap<>();
      for (int i = 0; i < 50_000; ++i) {
        byte[] piece = new byte[16 + i % 100];
        piece[0] = (byte) i;
        live.put(i % 1000, piece);
      }
      return live.values().stream().mapToLong(x -> x[0]).sum();
    });
    stop = true;
    collector.join();
    System.out.println("kept " + kept);

    // Many classes made and called: inline caches of each kind.
    Function[] functions = new Function[16];
    for (int i = 0; i < functions.length; ++i) { final int k = i; functions[i] = i % 2 == 0 ? x -> x * 31 + k : new Function() { public long apply(long x) { return x ^ k; } }; }
    long value = 0;
    for (int i = 0; i < 5_000_000; ++i) value = functions[i % (i < 1_000_000 ? 1 : i < 2_000_000 ? 2 : 16)].apply(value);
    System.out.println("calls " + value);
  }

  interface Function { long apply(long x); }

  static void recurse(int[] depth) { depth[0]++; recurse(depth); }
}
