/* The files of HTTPS, judged while a sentence still reaches the operator: the HTTP library itself
 * would only say that it did not start. Must never leave a key in freed memory, and never hold a
 * part of one in what it says. */
#include "server/tls.h"

#include "base/memory.h"
#include "base/os.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { FILE_BYTES = 1 << 20, CHAIN = 16 };

static gnutls_datum_t datum_of(char *text) {
    return (gnutls_datum_t){(unsigned char *)text, (unsigned)strlen(text)};
}

static int holds(const char *text, const char *words) {
    return strstr(text, words) != NULL;
}

/* ---- the certificate ---- */

static void warn_of_time(gnutls_x509_crt_t crt, const char *path, const mebi__log *log) {
    time_t now = time(NULL), from = gnutls_x509_crt_get_activation_time(crt),
           to = gnutls_x509_crt_get_expiration_time(crt);
    time_t which = to < now ? to : from;
    struct tm day;
    char text[16] = "";
    if (to >= now && from <= now) return;
    if (gmtime_r(&which, &day)) strftime(text, sizeof text, "%Y-%m-%d", &day);
    mebi__log_say(log, "warning",
                  to < now ? "The certificate in %.300s expired on %s; browsers will refuse it. "
                             "Renew it and start mebi serve again."
                           : "The certificate in %.300s is valid from %s on; until then browsers "
                             "refuse it. Is this machine's clock right?",
                  path, text);
}

static mebi_status check_certificate(char *text, const char *path, const mebi__log *log,
                                     mebi_error *err) {
    const gnutls_datum_t pem = datum_of(text);
    gnutls_x509_crt_t crt[CHAIN];
    unsigned count = CHAIN;
    if (!holds(text, "-----BEGIN "))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%.300s is no certificate in PEM: it has no line -----BEGIN "
                          "CERTIFICATE-----. One in DER is made PEM by openssl x509 -inform der.",
                          path);
    if (!holds(text, "CERTIFICATE-----"))
        return mebi__fail(err, MEBI_BAD_FILE, "%.300s holds no certificate%s", path,
                          holds(text, "PRIVATE KEY-----")
                              ? " but a key. Are --tls-cert and --tls-key exchanged?"
                              : ": --tls-cert wants a file with -----BEGIN CERTIFICATE-----.");
    int why = gnutls_x509_crt_list_import(crt, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
    if (why < 0)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "The certificate in %.300s can't be read: %s Look at it by openssl x509 "
                          "-in FILE -text.",
                          path, gnutls_strerror(why));
    warn_of_time(crt[0], path, log);
    for (unsigned i = 0; i < count; i++) gnutls_x509_crt_deinit(crt[i]);
    return MEBI_OK;
}

/* ---- the key ---- */

static void warn_of_readers(const char *path, const mebi__log *log) {
    struct stat st;
    if (stat(path, &st) == 0 && st.st_mode & (S_IROTH | S_IWOTH))
        mebi__log_say(log, "warning",
                      "All users of this machine can %s the key in %.300s. Keep it to yourself: "
                      "chmod 600 FILE.",
                      st.st_mode & S_IROTH ? "read" : "change", path);
}

static mebi_status check_key(char *text, const char *path, mebi_error *err) {
    const gnutls_datum_t pem = datum_of(text);
    gnutls_x509_privkey_t key;
    if (!holds(text, "PRIVATE KEY-----"))
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%.300s holds no key in PEM: there is no line -----BEGIN PRIVATE "
            "KEY-----.%s",
            path,
            holds(text, "CERTIFICATE-----") ? " Are --tls-cert and --tls-key exchanged?" : "");
    if (holds(text, "ENCRYPTED"))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "The key in %.300s is encrypted, and nobody is there to type its "
                          "password. Decrypt it: openssl pkey -in FILE -out OTHER.",
                          path);
    if (gnutls_x509_privkey_init(&key) < 0)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the key.");
    int why = gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_x509_privkey_deinit(key);
    if (why >= 0) return MEBI_OK;
    return mebi__fail(err, MEBI_BAD_FILE,
                      "The key in %.300s can't be read: %s Look at it by openssl pkey -in FILE "
                      "-noout -check.",
                      path, gnutls_strerror(why));
}

/* As the HTTP library will take them. */
static mebi_status check_pair(const mebi__tls *tls, const char *certificate_path,
                              const char *key_path, mebi_error *err) {
    const gnutls_datum_t certificate = datum_of(tls->certificate), key = datum_of(tls->key);
    gnutls_certificate_credentials_t both;
    if (gnutls_certificate_allocate_credentials(&both) < 0)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the certificate.");
    int why = gnutls_certificate_set_x509_key_mem(both, &certificate, &key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(both);
    if (why >= 0) return MEBI_OK;
    if (why == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "The key in %.200s is not that of the certificate in %.200s. Where a "
                          "file has several certificates, the server's own comes first.",
                          key_path, certificate_path);
    return mebi__fail(err, MEBI_BAD_FILE, "%.200s and %.200s can't be used together: %s",
                      certificate_path, key_path, gnutls_strerror(why));
}

/* ---- the whole ---- */

static mebi_status read_both(mebi__tls *tls, const char *certificate_path, const char *key_path,
                             const mebi__log *log, mebi_error *err) {
    size_t bytes;
    MEBI_TRY(mebi__read_file(certificate_path, FILE_BYTES, &tls->certificate, &bytes, err));
    MEBI_TRY(mebi__read_file(key_path, FILE_BYTES, &tls->key, &tls->key_bytes, err));
    MEBI_TRY(check_certificate(tls->certificate, certificate_path, log, err));
    MEBI_TRY(check_key(tls->key, key_path, err));
    MEBI_TRY(check_pair(tls, certificate_path, key_path, err));
    warn_of_readers(key_path, log);
    return MEBI_OK;
}

mebi_status mebi__tls_open(mebi__tls *tls, const char *certificate_path, const char *key_path,
                           const mebi__log *log, mebi_error *err) {
    *tls = (mebi__tls){.certificate = NULL};
    if (!certificate_path && !key_path) return MEBI_OK;
    if (!certificate_path || !key_path)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "For TLS a certificate and its key are needed: %s FILE is missing beside "
                          "%s.",
                          key_path ? "--tls-cert" : "--tls-key",
                          key_path ? "--tls-key" : "--tls-cert");
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "This system's libmicrohttpd was built without TLS. Start without "
                          "--tls-cert and --tls-key, behind a proxy that has it.");
    mebi_status status = read_both(tls, certificate_path, key_path, log, err);
    if (status != MEBI_OK) mebi__tls_close(tls);
    return status;
}

void mebi__tls_close(mebi__tls *tls) {
    if (tls->key) explicit_bzero(tls->key, tls->key_bytes);
    mebi__free(tls->key);
    mebi__free(tls->certificate);
    *tls = (mebi__tls){.certificate = NULL};
}
