// SPDX-License-Identifier: Apache-2.0
// Kafka's own encoder of secrets, a line each: "encode" SECRET PASSWORD
// KEYFACTORY CIPHER BITS ITERATIONS, or "decode" SECRET TEXT, by tabs.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.security.PasswordEncoder;

public class Secrets {
    static PasswordEncoder of(String secret, String factory, String cipher,
            String bits, String iterations) {
        return PasswordEncoder.encrypting(new Password(secret),
            factory.isEmpty() ? null : factory, cipher,
            Integer.parseInt(bits), Integer.parseInt(iterations));
    }

    static String answer(String[] w) throws Exception {
        if (w[0].equals("encode"))
            return of(w[1], w[3], w[4], w[5], w[6]).encode(
                new Password(w[2]));
        String cipher = w[2].contains("AES/GCM") ? "AES/GCM/NoPadding"
            : "AES/CBC/PKCS5Padding";
        return of(w[1], "", cipher, "128", "4096").decode(w[2]).value();
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(
            System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        for (String line = in.readLine(); line != null; line = in.readLine())
            out.println(answer(line.split("\t", -1)));
    }
}
