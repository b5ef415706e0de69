// Heartwire for C++11: heartwire.h with its memory in an object, spans, and a visitor of events.
// Nothing is allocated or thrown. heartwire.h says what the calls do.

#ifndef HEARTWIRE_HPP
#define HEARTWIRE_HPP

#include "heartwire.h"

namespace heartwire {

// Bytes that lie elsewhere.
struct Span {
    const uint8_t *data;
    size_t size;
};

// What came: override what you want to know.
struct Visitor {
    virtual void on_welcome(const hw_welcome &) {}
    virtual void on_beat() {}
    virtual void on_promise(uint32_t /* ms */) {}
    virtual void on_data(Span) {}
    virtual void on_end() {}
    virtual void on_bye(const hw_bye &) {}
    virtual void on_dead(const hw_verdict &) {}
    virtual void on_broken(const hw_violation &) {}
    virtual void on_closed() {}

protected:
    ~Visitor() {}
};

// A client with memory for what comes and what waits to be written. It must not move.
template <size_t RxLen = 1032, size_t TxLen = 600>
class Client {
public:
    Client() = default;
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;

    static hw_config default_config() {
        hw_config config;
        hw_config_default(&config);
        return config;
    }

    // Before all other calls. What else the config points to must stay.
    hw_status init(hw_config config) {
        static_assert(RxLen >= HW_MIN_RX && TxLen >= HW_MIN_TX, "the buffers are too small");
        config.rx = rx_, config.rx_len = RxLen;
        config.tx = tx_, config.tx_len = TxLen;
        return hw_client_init(&memory_, sizeof memory_, &config);
    }

    hw_status connected(uint64_t now_ms) { return hw_client_connected(c(), now_ms); }
    hw_status disconnected(uint64_t now_ms) { return hw_client_disconnected(c(), now_ms); }
    hw_status close(uint64_t now_ms) { return hw_client_close(c(), now_ms); }
    hw_step poll(uint64_t now_ms) { return hw_client_poll(c(), now_ms); }
    hw_step read_done(uint64_t now_ms, bool more) { return hw_client_read_done(c(), now_ms, more); }
    uint64_t deadline() const { return hw_client_deadline(c()); }
    uint64_t retry_ms(uint64_t now_ms) { return hw_client_retry_ms(c(), now_ms); }
    hw_status promise(uint32_t ms, uint32_t *agreed = nullptr) { return hw_client_promise(c(), ms, agreed); }
    hw_status set_health(hw_health health) { return hw_client_set_health(c(), health); }
    hw_status link(uint64_t now_ms, hw_link &link) const { return hw_client_link(c(), now_ms, &link); }
    hw_status written(uint64_t now_ms, size_t size) { return hw_client_written(c(), now_ms, size); }
    size_t send_room() const { return hw_client_send_room(c()); }
    hw_status send(uint64_t now_ms, Span bytes) { return hw_client_send(c(), now_ms, bytes.data, bytes.size); }

    // Returns what there was no room for: take the events, then feed that.
    Span feed(uint64_t now_ms, Span bytes) {
        size_t taken = 0;
        hw_client_feed(c(), now_ms, bytes.data, bytes.size, &taken);
        return Span{bytes.data + taken, bytes.size - taken};
    }

    Span output() const {
        Span bytes = {nullptr, 0};
        hw_client_output(c(), &bytes.data, &bytes.size);
        return bytes;
    }

    // Takes all events.
    void visit(uint64_t now_ms, Visitor &visitor) {
        hw_event event;
        while (hw_client_event(c(), now_ms, &event) == HW_OK && event.kind != HW_EVENT_NONE) {
            switch (event.kind) {
            case HW_EVENT_WELCOME: visitor.on_welcome(event.of.welcome); break;
            case HW_EVENT_BEAT: visitor.on_beat(); break;
            case HW_EVENT_PROMISE: visitor.on_promise(event.of.promise_ms); break;
            case HW_EVENT_DATA: visitor.on_data(Span{event.of.data.ptr, event.of.data.len}); break;
            case HW_EVENT_END: visitor.on_end(); break;
            case HW_EVENT_BYE: visitor.on_bye(event.of.bye); break;
            case HW_EVENT_DEAD: visitor.on_dead(event.of.dead); break;
            case HW_EVENT_BROKEN: visitor.on_broken(event.of.broken); break;
            case HW_EVENT_CLOSED: visitor.on_closed(); break;
            case HW_EVENT_NONE: break;
            }
        }
    }

private:
    hw_client *c() { return reinterpret_cast<hw_client *>(&memory_); }
    const hw_client *c() const { return reinterpret_cast<const hw_client *>(&memory_); }

    hw_client_memory memory_ = {0};
    uint8_t rx_[RxLen], tx_[TxLen];
};

} // namespace heartwire

#endif
