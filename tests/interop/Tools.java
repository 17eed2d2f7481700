/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs Kafka's own command line tools, one after the other, in one process: a
 * JVM for each would cost two seconds.  Every line of standard input is a class
 * and its arguments, with tabs between them; the answer is a line with the exit
 * status and the lengths of what the tool wrote to its standard output and
 * error, and then both.
 */
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

import org.apache.kafka.common.utils.Exit;

public class Tools {
    /** In the place of the process's end; the first status counts. */
    private static final class Ended extends RuntimeException {
        Ended() {
            super("ended");
        }
    }

    /** A tool's output; set once, because Scala keeps the first it meets. */
    private static final class Output extends OutputStream {
        private ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override
        public synchronized void write(int b) {
            bytes.write(b);
        }

        @Override
        public synchronized void write(byte[] b, int off, int len) {
            bytes.write(b, off, len);
        }

        /** What was written since the last call. */
        synchronized ByteArrayOutputStream take() {
            ByteArrayOutputStream taken = bytes;
            bytes = new ByteArrayOutputStream();
            return taken;
        }
    }

    private static Integer status;

    private static int run(String[] words) {
        status = null;
        try {
            Class.forName(words[0]).getMethod("main", String[].class).invoke(
                null, (Object) Arrays.copyOfRange(words, 1, words.length));
        } catch (ReflectiveOperationException e) {
            if (status == null) {
                (e.getCause() == null ? e : e.getCause()).printStackTrace();
                status = 1;
            }
        }
        return status == null ? 0 : status;
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(
            new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        Output toOut = new Output();
        Output toErr = new Output();
        String line;

        Exit.setExitProcedure((code, message) -> {
            if (status == null)
                status = code;
            throw new Ended();
        });
        System.setOut(new PrintStream(toOut, true, "UTF-8"));
        System.setErr(new PrintStream(toErr, true, "UTF-8"));
        while ((line = in.readLine()) != null) {
            int code = run(line.split("\t", -1));
            System.out.flush();
            System.err.flush();
            ByteArrayOutputStream out = toOut.take();
            ByteArrayOutputStream err = toErr.take();
            answers.printf("%d %d %d%n", code, out.size(), err.size());
            out.writeTo(answers);
            err.writeTo(answers);
            answers.flush();
        }
    }
}
